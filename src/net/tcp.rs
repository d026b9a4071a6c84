//! TCP listeners: one for each address a host stands for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};

use super::{BindError, holder, taken};

/// A port that is free on a host's first address may be taken on its second: try another one.
const TRIES: usize = 8;

/// Binds every address of `host` on one port; also returns the port, which the system chose if it was 0.
pub(super) fn bind(host: &str, port: u16, backlog: i32) -> Result<(Vec<OwnedFd>, u16), BindError> {
    let addresses = addresses(host)?;
    let mut tries = if port == 0 && addresses.len() > 1 {
        TRIES
    } else {
        1
    };
    loop {
        tries -= 1;
        match bind_all(&addresses, port, backlog) {
            Err(BindError::Bind(_, error)) if tries > 0 && taken(&error) => {}
            Err(BindError::Taken(..)) if tries > 0 => {}
            result => return result,
        }
    }
}

fn bind_all(
    addresses: &[IpAddr],
    mut port: u16,
    backlog: i32,
) -> Result<(Vec<OwnedFd>, u16), BindError> {
    let mut sockets = Vec::new();
    let mut skipped = None;
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        match listen(address, backlog) {
            Ok(socket) => {
                port = socket
                    .local_addr()
                    .ok()
                    .and_then(|a| a.as_socket())
                    .map_or(port, |a| a.port());
                sockets.push(socket.into());
            }
            // A family that is compiled in but switched off; asyncio skips it, too.
            Err(error) if is_absent_family(&error) => skipped = Some((address, error)),
            Err(error) => return Err(refused(address, error)),
        }
    }
    match skipped {
        Some((address, error)) if sockets.is_empty() => {
            Err(BindError::Bind(python_address(address), error))
        }
        _ => Ok((sockets, port)),
    }
}

fn refused(address: SocketAddr, error: io::Error) -> BindError {
    let is_privileged = address.port() < 1024 && error.kind() == io::ErrorKind::PermissionDenied;
    let holder = taken(&error).then(|| holder::of_tcp(address)).flatten();
    let error = BindError::Bind(python_address(address), error).by(holder);
    if is_privileged {
        BindError::Privileged(Box::new(error))
    } else {
        error
    }
}

fn addresses(host: &str) -> Result<Vec<IpAddr>, BindError> {
    if host.is_empty() {
        return Ok(vec![
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv6Addr::UNSPECIFIED.into(),
        ]);
    }
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let found = (host, 0).to_socket_addrs();
    let found = found.map_err(|error| BindError::Resolve(host.to_owned(), error))?;
    let mut addresses = Vec::new();
    for address in found.map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        None,
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // As asyncio does: "::" is not 0.0.0.0, and an empty host binds both.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn is_absent_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)
    )
}

/// The address as asyncio prints it.
fn python_address(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("('{}', {})", v4.ip(), v4.port()),
        SocketAddr::V6(v6) => format!("('{}', {}, 0, 0)", v6.ip(), v6.port()),
    }
}
