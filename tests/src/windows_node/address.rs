//! The address of the node: one of this machine that is not a loopback address.

use std::net::{Ipv4Addr, TcpListener};

use super::error::WindowsNodeError;

/// Where the kernel lists the addresses of this network namespace.
const ADDRESSES: &str = "/proc/net/fib_trie";

/// The first address of this machine that kubelet takes.
///
/// It is in use with free ports, and kubelet listens only there; so the bench needs no right to make network namespaces, and
/// nothing of the machine's network changes.
pub(super) fn own() -> Result<Ipv4Addr, WindowsNodeError> {
    let text = std::fs::read_to_string(ADDRESSES)
        .map_err(WindowsNodeError::io(format!("read {ADDRESSES}")))?;
    first(&text).ok_or(WindowsNodeError::NoAddress)
}

/// A port of `address` that nobody listens on now.
pub(super) fn free_port(address: Ipv4Addr) -> Result<u16, WindowsNodeError> {
    TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .map(|bound| bound.port())
        .map_err(WindowsNodeError::io(format!(
            "find a free port on {address}"
        )))
}

/// The first local address that is neither loopback nor link-local.
///
/// An address stands in the line before the one that says `/32 host LOCAL`.
fn first(trie: &str) -> Option<Ipv4Addr> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter_map(|pair| match pair {
            [address, "/32 host LOCAL"] => address.strip_prefix("|-- ")?.parse::<Ipv4Addr>().ok(),
            _ => None,
        })
        .find(|address| !address.is_loopback() && !address.is_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.1
              /32 host LOCAL
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.7
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
";

    #[test]
    fn the_first_address_that_is_not_loopback_is_taken() {
        assert_eq!(first(TRIE), Some(Ipv4Addr::new(192, 0, 2, 7)));
        let only_loopback = TRIE.replace("192.0.2.7", "169.254.0.7");
        assert_eq!(first(&only_loopback), None);
        assert_eq!(first(""), None);
    }
}
