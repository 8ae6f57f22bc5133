//! Nowhere: files and sockets, of which there are none.
//!
//! A guest can ask for them, and is told no. What it would do with one it cannot do, since a handle cannot be made up; so
//! those functions are there by name only.

use wasmtime::component::{Linker, Resource, ResourceType, Val};

use super::io::{drop_handle, give};
use super::{Store, interface};
use crate::filter::instance::Host;

/// Nobody gets one.
enum Descriptor {}
/// Nobody gets one.
enum Directory {}
/// There is one to have, and nobody in it.
enum Network {}
/// Nobody gets one.
enum Addresses {}
/// Nobody gets one.
enum TcpSocket {}
/// Nobody gets one.
enum UdpSocket {}
/// Nobody gets one.
enum Incoming {}
/// Nobody gets one.
enum Outgoing {}

/// Interfaces, resources, and the names of their methods.
const METHODS: &[(&str, &str, &str)] = &[
    (
        "filesystem/types",
        "descriptor",
        "read-via-stream write-via-stream append-via-stream advise sync-data get-flags get-type set-size set-times read \
         write read-directory sync create-directory-at stat stat-at set-times-at link-at open-at readlink-at \
         remove-directory-at rename-at symlink-at unlink-file-at is-same-object metadata-hash metadata-hash-at",
    ),
    ("filesystem/types", "directory-entry-stream", "read-directory-entry"),
    ("sockets/ip-name-lookup", "resolve-address-stream", "resolve-next-address subscribe"),
    (
        "sockets/tcp",
        "tcp-socket",
        "start-bind finish-bind start-connect finish-connect start-listen finish-listen accept local-address \
         remote-address is-listening address-family set-listen-backlog-size keep-alive-enabled set-keep-alive-enabled \
         keep-alive-idle-time set-keep-alive-idle-time keep-alive-interval set-keep-alive-interval keep-alive-count \
         set-keep-alive-count hop-limit set-hop-limit receive-buffer-size set-receive-buffer-size send-buffer-size \
         set-send-buffer-size subscribe shutdown",
    ),
    (
        "sockets/udp",
        "udp-socket",
        "start-bind finish-bind stream local-address remote-address address-family unicast-hop-limit \
         set-unicast-hop-limit receive-buffer-size set-receive-buffer-size send-buffer-size set-send-buffer-size subscribe",
    ),
    ("sockets/udp", "incoming-datagram-stream", "receive subscribe"),
    ("sockets/udp", "outgoing-datagram-stream", "check-send send subscribe"),
];

/// Where a file or a socket comes from; each answers with this of its own error codes.
const DENIED: &[(&str, &str)] = &[
    ("sockets/ip-name-lookup", "resolve-addresses"),
    ("sockets/tcp-create-socket", "create-tcp-socket"),
    ("sockets/udp-create-socket", "create-udp-socket"),
];
const DENIAL: &str = "access-denied";

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let resources = [
        ("filesystem/types", "descriptor", ResourceType::host::<Descriptor>()),
        ("filesystem/types", "directory-entry-stream", ResourceType::host::<Directory>()),
        ("sockets/network", "network", ResourceType::host::<Network>()),
        ("sockets/ip-name-lookup", "resolve-address-stream", ResourceType::host::<Addresses>()),
        ("sockets/tcp", "tcp-socket", ResourceType::host::<TcpSocket>()),
        ("sockets/udp", "udp-socket", ResourceType::host::<UdpSocket>()),
        ("sockets/udp", "incoming-datagram-stream", ResourceType::host::<Incoming>()),
        ("sockets/udp", "outgoing-datagram-stream", ResourceType::host::<Outgoing>()),
    ];
    for (path, name, ty) in resources {
        interface(linker, path)?.resource(name, ty, drop_handle)?;
    }
    for (path, resource, methods) in METHODS {
        for method in methods.split_whitespace() {
            interface(linker, path)?.func_new(&format!("[method]{resource}.{method}"), |_, _, _, _| {
                Err(wasmtime::Error::msg("it calls a method of something that it cannot have"))
            })?;
        }
    }
    for (path, name) in DENIED {
        interface(linker, path)?.func_new(name, |store, _, params, results| {
            results[0] = Val::Result(Err(Some(Box::new(Val::Enum(DENIAL.into())))));
            give_back(store, params)
        })?;
    }
    for (path, name) in
        [("filesystem/types", "filesystem-error-code"), ("sockets/network", "network-error-code")]
    {
        interface(linker, path)?.func_new(name, |store, _, params, results| {
            results[0] = Val::Option(None);
            give_back(store, params)
        })?;
    }
    interface(linker, "filesystem/preopens")?.func_wrap("get-directories", |_: Store<'_>, ()| {
        Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
    })?;
    interface(linker, "sockets/instance-network")?
        .func_wrap("instance-network", |mut store: Store<'_>, ()| Ok((give::<Network>(&mut store, 0)?,)))
}

/// What was lent for a call whose types are not written down here has to be given back.
fn give_back(mut store: Store<'_>, params: &[Val]) -> wasmtime::Result<()> {
    for param in params {
        if let Val::Resource(resource) = param {
            resource.resource_drop(&mut store)?;
        }
    }
    Ok(())
}
