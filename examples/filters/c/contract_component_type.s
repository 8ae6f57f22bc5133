# The contract's types as wit-bindgen encodes them, for the component that is made of this: its contract_component_type.o, as text.
	.text
	.globl	__component_type_object_force_link_contract
	.type	__component_type_object_force_link_contract,@function
__component_type_object_force_link_contract:
	.functype	__component_type_object_force_link_contract () -> ()
	end_function

	.section	".custom_section.component-type:contract","",@
	.ascii	"\000asm\015\000\001\000\000\031\026wit-component-encoding\004\000\007\343\006\001A\002"
	.ascii	"\001A\013\001B\004\001m\004\005debug\004info\004warn\005error\004\000\005level\003\000"
	.ascii	"\000\001@\002\005level\001\007messages\001\000\004\000\005write\001\002\003\000\027sluic"
	.ascii	"e:filter/log@0.1.0\005\000\001B\024\001r\003\011namespaces\004names\006sources\004\000"
	.ascii	"\006tenant\003\000\000\001py\001r\002\004texts\004ends\002\004\000\007symbols\003\000"
	.ascii	"\003\001r\005\011new-names\004\012new-values\004\005pairs\002\004ends\002\006series\002"
	.ascii	"\004\000\012label-sets\003\000\005\001pw\001r\004\004keep\007\011new-names\004\012new-va"
	.ascii	"lues\004\005edits\002\004\000\010verdicts\003\000\010\001m\003\004none\005label\006sampl"
	.ascii	"e\004\000\005state\003\000\012\001n\002\012timestamps\006values\004\000\007columns\003"
	.ascii	"\000\014\001o\002ss\001p\016\001r\006\004names\007versions\015config-schemas\005state"
	.ascii	"\013\007columns\015\005facts\017\004\000\010manifest\003\000\020\001r\002\004paths\007me"
	.ascii	"ssages\004\000\014config-error\003\000\022\003\000\031sluice:filter/types@0.1.0\005\001"
	.ascii	"\002\003\000\001\006tenant\002\003\000\001\012label-sets\002\003\000\001\010verdicts\002"
	.ascii	"\003\000\001\010manifest\002\003\000\001\014config-error\001B\025\002\003\002\001\002"
	.ascii	"\004\000\006tenant\003\000\000\002\003\002\001\003\004\000\012label-sets\003\000\002\002"
	.ascii	"\003\002\001\004\004\000\010verdicts\003\000\004\002\003\002\001\005\004\000\010manifest"
	.ascii	"\003\000\006\002\003\002\001\006\004\000\014config-error\003\000\010\001@\000\000\007"
	.ascii	"\004\000\010describe\001\012\001j\000\001\011\001@\002\006tenant\001\013config-jsons\000"
	.ascii	"\013\004\000\011configure\001\014\001j\001\005\001s\001@\001\005batch\003\000\015\004"
	.ascii	"\000\010classify\001\016\001py\001@\001\006series\017\001\000\004\000\006forget\001\020"
	.ascii	"\004\000\032sluice:filter/labels@0.1.0\005\007\004\000 sluice:filter/label-filter@0.1.0"
	.ascii	"\004\000\013\022\001\000\014label-filter\003\000\000\000D\011producers\001\014processed-"
	.ascii	"by\002\015wit-component\0070.258.3\015wit-bindgen-c\0060.61.1"
