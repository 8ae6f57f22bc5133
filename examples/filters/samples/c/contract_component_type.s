# The contract's types as wit-bindgen encodes them, for the component that is made of this: its contract_component_type.o, as text.
	.text
	.globl	__component_type_object_force_link_contract
	.type	__component_type_object_force_link_contract,@function
__component_type_object_force_link_contract:
	.functype	__component_type_object_force_link_contract () -> ()
	end_function

	.section	".custom_section.component-type:contract","",@
	.ascii	"\000asm\015\000\001\000\000\031\026wit-component-encoding\004\000\007\257\011\001A\002"
	.ascii	"\001A\016\001B\004\001m\004\005debug\004info\004warn\005error\004\000\005level\003\000"
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
	.ascii	"\002\003\000\001\007symbols\001B\016\002\003\002\001\002\004\000\007symbols\003\000\000"
	.ascii	"\001r\003\005sincex\002atx\004last\177\004\000\004tick\003\000\002\001py\001px\001pw\001"
	.ascii	"r\004\006series\004\012timestamps\005\006values\006\006opaque\006\004\000\004rows\003"
	.ascii	"\000\007\001r\012\004keep\006\007changed\004\016changed-values\006\011new-names\001\012n"
	.ascii	"ew-values\001\011new-pairs\004\010new-ends\004\016emitted-series\004\022emitted-timestam"
	.ascii	"ps\005\016emitted-values\006\004\000\007outcome\003\000\011\001j\001\012\001s\001@\002"
	.ascii	"\004tick\003\004rows\010\000\013\004\000\007process\001\014\004\000\033sluice:filter/sam"
	.ascii	"ples@0.1.0\005\003\002\003\000\001\006tenant\002\003\000\001\012label-sets\002\003\000"
	.ascii	"\001\010verdicts\002\003\000\001\010manifest\002\003\000\001\014config-error\001B\025"
	.ascii	"\002\003\002\001\004\004\000\006tenant\003\000\000\002\003\002\001\005\004\000\012label-"
	.ascii	"sets\003\000\002\002\003\002\001\006\004\000\010verdicts\003\000\004\002\003\002\001\007"
	.ascii	"\004\000\010manifest\003\000\006\002\003\002\001\010\004\000\014config-error\003\000\010"
	.ascii	"\001@\000\000\007\004\000\010describe\001\012\001j\000\001\011\001@\002\006tenant\001"
	.ascii	"\013config-jsons\000\013\004\000\011configure\001\014\001j\001\005\001s\001@\001\005batc"
	.ascii	"h\003\000\015\004\000\010classify\001\016\001py\001@\001\006series\017\001\000\004\000"
	.ascii	"\006forget\001\020\004\000\032sluice:filter/labels@0.1.0\005\011\004\000!sluice:filter/s"
	.ascii	"ample-filter@0.1.0\004\000\013\023\001\000\015sample-filter\003\000\000\000D\011producer"
	.ascii	"s\001\014processed-by\002\015wit-component\0070.258.3\015wit-bindgen-c\0060.61.1"
