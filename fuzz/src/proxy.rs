//! The PROXY protocol and the fields in which proxies describe the client.

use lowmem_base::config::{ForwardedField, Trusted};
use lowmem_http::server::fuzzing::proxy::{Preamble, forwarded, preamble};

/// The first byte says which of the two it is.
pub fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((kind, rest)) if kind & 1 == 0 => header(rest),
        Some((_, rest)) => fields(rest),
        None => {}
    }
}

/// A header is whole at one length only, and is read the same whatever follows it.
fn header(bytes: &[u8]) {
    let Ok(Some(Preamble { ends, length })) = preamble(bytes) else {
        return;
    };
    assert!(length <= bytes.len() && length <= 4096);
    let whole = Some(Preamble { ends, length });
    assert_eq!(preamble(&bytes[..length]), Ok(whole));
    for cut in [0, 1, length / 2, length - 1] {
        assert_eq!(preamble(&bytes[..cut]), Ok(None), "{cut}");
    }
    if let Some((client, server)) = ends {
        assert_eq!(client.is_ipv4(), server.is_ipv4());
    }
}

/// Lines, each of them a field; the first is the list of those that are trusted.
fn fields(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let list = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let Ok(trusted) = Trusted::parse(&format!("unix:,{list}")) else {
        return;
    };
    let lines: Vec<&[u8]> = lines.collect();
    let named = |name| lines.iter().map(|line| (name, *line)).collect::<Vec<_>>();
    let by_rfc = forwarded(&named("Forwarded"), ForwardedField::Forwarded, &trusted);
    let mut x = named("x-forwarded-for");
    x.extend(lines.last().map(|line| ("x-forwarded-proto", *line)));
    let by_custom = forwarded(&x, ForwardedField::XForwarded, &trusted);
    for told in by_rfc.into_iter().chain(by_custom) {
        assert!(told.client.is_some() || told.secure.is_some());
        // A client is shown in log lines.
        if let Some(client) = told.client {
            assert!(client.to_string().contains(':'));
        }
    }
    // An untrusted peer's word counts nowhere.
    let nobody = Trusted::parse("").expect("it is empty");
    assert_eq!(forwarded(&x, ForwardedField::XForwarded, &nobody), None);
}
