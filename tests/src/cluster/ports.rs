//! Free ports of the loopback address.

use std::net::{Ipv4Addr, TcpListener};

use super::error::ClusterError;

/// The ports of one cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) api_server: u16,
    pub(super) controllers: u16,
    pub(super) scheduler: u16,
}

impl Ports {
    /// Asks the system for ports that nobody listens on now.
    ///
    /// Another process may still take one before the server does; the start is then repeated.
    pub(super) fn free() -> Result<Self, ClusterError> {
        let listen = || {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .map_err(ClusterError::io("find a free port on 127.0.0.1"))
        };
        // All are held until all are known, else the system could name one twice.
        let held = [listen()?, listen()?, listen()?, listen()?, listen()?];
        let port = |listener: &TcpListener| {
            listener
                .local_addr()
                .map(|address| address.port())
                .map_err(ClusterError::io("read a port number"))
        };
        let [etcd, etcd_peer, api_server, controllers, scheduler] = &held;
        Ok(Self {
            etcd: port(etcd)?,
            etcd_peer: port(etcd_peer)?,
            api_server: port(api_server)?,
            controllers: port(controllers)?,
            scheduler: port(scheduler)?,
        })
    }
}
