//! Ports for the nodes of tests.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

use counterfoil::net;

/// A free port below the range that outgoing connections take theirs from, given once by this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 900) as u16 * 10;
    loop {
        let port = 21_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if net::probe((Ipv4Addr::LOCALHOST, port).into()).is_ok() {
            return port;
        }
    }
}
