//! The name in a ClientHello (RFC 6066 section 3).

use rustls::server::Acceptor;

use super::Beginning;

/// Looks for it. rustls puts the message together, in however many records it comes.
pub(super) fn look(bytes: &[u8]) -> Beginning {
    const BAD: Beginning = Beginning::Bad("a TLS handshake that cannot be read");
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    loop {
        // It takes a bounded part at once.
        match acceptor.read_tls(&mut rest) {
            Ok(0) => return Beginning::Unfinished,
            Ok(_) => {}
            Err(_) => return BAD,
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Beginning::Tls(name);
            }
            Ok(None) if rest.is_empty() => return Beginning::Unfinished,
            Ok(None) => {}
            Err(_) => return BAD,
        }
    }
}
