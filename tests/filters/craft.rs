//! Craft: components that no compiler makes, out of one that it made.
//!
//! In: a component's bytes. Out: other bytes, of which one section is another one. Used by the program's own tests and by those
//! against the whole of it.

/// How a component and a core module begin.
const PREAMBLE_BYTES: usize = 8;
/// A component's section with a core module in it.
const CORE_MODULE: u8 = 1;
/// A component's section of what its core modules become.
const CORE_INSTANCE: u8 = 2;
/// A component's section of functions that go through the canonical ABI.
const CANON: u8 = 8;
/// Component's sections of types, and of what it imports.
const TYPE: u8 = 7;
const IMPORTS: u8 = 10;
/// Sections of a core module.
const IMPORT: u8 = 2;
const TABLE: u8 = 4;
const MEMORY: u8 = 5;
const EXPORT: u8 = 7;
const START: u8 = 8;
const CODE: u8 = 10;
const FUNCREF: u8 = 0x70;
/// A core module with nothing in it.
const NOTHING: &[u8] = b"\0asm\x01\0\0\0";

type Sections = Vec<(u8, Vec<u8>)>;

/// Calls the function that is exported as `loop_at_the_start` when it is instantiated.
pub(crate) fn looping_at_the_start(component: &[u8]) -> Vec<u8> {
    with_module(component, |sections| {
        let at = sections.iter().position(|(id, _)| *id == EXPORT).expect("it exports something");
        let function = exported(&sections[at].1, "loop_at_the_start");
        sections.insert(at + 1, (START, leb(function)));
    })
}

/// Has a table of a hundred million entries.
pub(crate) fn with_a_table_bomb(component: &[u8]) -> Vec<u8> {
    let table = [vec![1, FUNCREF, 0], leb(100_000_000)].concat();
    with_module(component, |sections| set(sections, TABLE, |_| table))
}

/// Has four tables beside its own.
pub(crate) fn with_many_tables(component: &[u8]) -> Vec<u8> {
    with_module(component, |sections| set(sections, TABLE, |tables| longer(tables, &[[FUNCREF, 0, 1]; 4])))
}

/// What it exports as `grow_a_table` adds a thousand entries to a table of its own, again and again; refused, it traps.
pub(crate) fn growing_a_table(component: &[u8]) -> Vec<u8> {
    with_module(component, |sections| {
        let section = |id| &sections.iter().find(|(known, _)| *known == id).expect("it has that section").1;
        let table = number(section(TABLE)).0 as u8;
        let function = exported(section(EXPORT), "grow_a_table") - imported_functions(section(IMPORT));
        // loop, ref.null func, i32.const 1000, table.grow, i32.const -1, i32.eq, if, unreachable, end, br 0, end, end
        let grow = [0x03, 0x40, 0xd0, FUNCREF, 0x41, 0xe8, 0x07, 0xfc, 0x0f, table, 0x41, 0x7f, 0x46];
        let body = [&[0][..], &grow, &[0x04, 0x40, 0x00, 0x0b, 0x0c, 0x00, 0x0b, 0x0b]].concat();
        set(sections, TABLE, |tables| longer(tables, &[[FUNCREF, 0, 0]]));
        set(sections, CODE, |code| with_body(code, function, &body));
    })
}

/// Is made of forty core modules more.
pub(crate) fn with_many_modules(component: &[u8]) -> Vec<u8> {
    let mut all = sections(component);
    let module = all.iter().filter(|(id, _)| *id == CORE_MODULE).count() as u32;
    let instance = [vec![0], leb(module), vec![0]].concat();
    all.push((CORE_MODULE, NOTHING.to_vec()));
    all.push((CORE_INSTANCE, [leb(40), instance.repeat(40)].concat()));
    joined(&component[..PREAMBLE_BYTES], &all)
}

/// Starts with four gigabytes.
pub(crate) fn with_a_memory_bomb(component: &[u8]) -> Vec<u8> {
    let memory = [vec![1, 0], leb(65_536)].concat();
    with_module(component, |sections| set(sections, MEMORY, |_| memory))
}

/// Has a second memory.
pub(crate) fn with_two_memories(component: &[u8]) -> Vec<u8> {
    with_module(component, |sections| {
        set(sections, MEMORY, |one| [&[2], &one[1..], &[0, 1]].concat());
    })
}

/// Has a memory that threads share.
pub(crate) fn with_threads(component: &[u8]) -> Vec<u8> {
    let memory = [vec![1, 3], leb(32), leb(64)].concat();
    with_module(component, |sections| set(sections, MEMORY, |_| memory))
}

/// Has a memory of 64-bit addresses.
pub(crate) fn with_memory64(component: &[u8]) -> Vec<u8> {
    let memory = [vec![1, 4], leb(32)].concat();
    with_module(component, |sections| set(sections, MEMORY, |_| memory))
}

/// Asks for the component model's asynchronous part: `backpressure.inc`.
pub(crate) fn with_async(component: &[u8]) -> Vec<u8> {
    let mut all = sections(component);
    all.push((CANON, vec![1, 0x24]));
    joined(&component[..PREAMBLE_BYTES], &all)
}

/// Built for a version of the contract that there is not yet.
pub(crate) fn of_another_contract(component: &[u8]) -> Vec<u8> {
    let (ours, theirs) = (b"@0.1.0", b"@0.9.0");
    let mut bytes = component.to_vec();
    for at in 0..=bytes.len() - ours.len() {
        if bytes[at..].starts_with(ours) {
            bytes[at..at + ours.len()].copy_from_slice(theirs);
        }
    }
    bytes
}

/// Imports something of that name, and has nothing else.
pub(crate) fn that_imports(name: &str) -> Vec<u8> {
    // An instance without anything.
    let kind = vec![1, 0x42, 0];
    let import = [&[1, 0], leb(name.len() as u32).as_slice(), name.as_bytes(), &[5, 0]].concat();
    joined(b"\0asm\x0d\0\x01\0", &vec![(TYPE, kind), (IMPORTS, import)])
}

/// The core module inside.
pub(crate) fn core_module(component: &[u8]) -> Vec<u8> {
    let module = sections(component).into_iter().find(|(id, _)| *id == CORE_MODULE);
    module.expect("it has a core module").1
}

/// The head of a custom section of so many bytes, which are to follow.
pub(crate) fn custom_section_head(bytes: u32) -> Vec<u8> {
    [vec![0], leb(bytes)].concat()
}

fn with_module(component: &[u8], change: impl FnOnce(&mut Sections)) -> Vec<u8> {
    let mut all = sections(component);
    set(&mut all, CORE_MODULE, |module| {
        let mut inside = sections(module);
        change(&mut inside);
        joined(&module[..PREAMBLE_BYTES], &inside)
    });
    joined(&component[..PREAMBLE_BYTES], &all)
}

fn set(sections: &mut Sections, id: u8, change: impl FnOnce(&[u8]) -> Vec<u8>) {
    let section = sections.iter_mut().find(|(known, _)| *known == id).expect("it has that section");
    section.1 = change(&section.1);
}

fn sections(bytes: &[u8]) -> Sections {
    let mut rest = &bytes[PREAMBLE_BYTES..];
    let mut all = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = number(after);
        let (payload, after) = after.split_at(length as usize);
        all.push((id, payload.to_vec()));
        rest = after;
    }
    all
}

fn joined(preamble: &[u8], sections: &Sections) -> Vec<u8> {
    let section = |(id, payload): &(u8, Vec<u8>)| {
        [&[*id], leb(payload.len() as u32).as_slice(), payload.as_slice()].concat()
    };
    let all: Vec<u8> = sections.iter().flat_map(section).collect();
    [preamble, &all].concat()
}

/// A list with more in it.
fn longer<const N: usize>(list: &[u8], items: &[[u8; N]]) -> Vec<u8> {
    let (count, rest) = number(list);
    [leb(count + items.len() as u32).as_slice(), rest, &items.concat()].concat()
}

/// A section of code in which one function's is another one's.
fn with_body(code: &[u8], function: u32, body: &[u8]) -> Vec<u8> {
    let (count, mut rest) = number(code);
    let mut out = leb(count);
    for at in 0..count {
        let (length, after) = number(rest);
        let (own, after) = after.split_at(length as usize);
        let kept = if at == function { body } else { own };
        out.extend(leb(kept.len() as u32));
        out.extend(kept);
        rest = after;
    }
    out
}

/// How many functions are imported, which is all that these modules import: they are numbered first.
fn imported_functions(section: &[u8]) -> u32 {
    let (count, mut rest) = number(section);
    for _ in 0..count {
        for _name in 0..2 {
            let (length, after) = number(rest);
            rest = &after[length as usize..];
        }
        assert_eq!(rest[0], 0, "it imports something that is no function");
        rest = number(&rest[1..]).1;
    }
    count
}

/// The index of an exported function.
fn exported(section: &[u8], name: &str) -> u32 {
    let (count, mut rest) = number(section);
    for _ in 0..count {
        let (length, after) = number(rest);
        let (text, after) = after.split_at(length as usize);
        let (index, after) = number(&after[1..]);
        if text == name.as_bytes() {
            return index;
        }
        rest = after;
    }
    panic!("it does not export {name}")
}

/// A number in LEB128, and what follows it.
fn number(bytes: &[u8]) -> (u32, &[u8]) {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a number ends") + 1;
    let value = bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | u32::from(byte & 0x7f));
    (value, &bytes[length..])
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
