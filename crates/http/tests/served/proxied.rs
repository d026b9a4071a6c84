//! Statements of proxies about their clients.

use lowmem_base::config::{ForwardedField, ProxySettings, ServerSettings, Trusted};

use crate::serving::{Serving, on_one_thread, settings};

fn behind(field: Option<ForwardedField>, protocol: bool) -> ServerSettings {
    let mut settings = settings();
    settings.http.request_id = true;
    ServerSettings {
        proxies: ProxySettings {
            trusted: Trusted::parse("127.0.0.1").unwrap(),
            field,
            protocol,
        },
        ..settings
    }
}

#[test]
fn the_client_is_whom_a_trusted_proxy_names() {
    on_one_thread(async {
        let serving = Serving::with(&behind(Some(ForwardedField::XForwarded), false), None).await;
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.7\r\n\r\n";
        let answer = serving.say(request).await;
        assert!(
            answer.contains("for 203.0.113.7") && answer.contains("x-request-id: "),
            "{answer}"
        );
        let serving = Serving::with(&behind(Some(ForwardedField::Forwarded), false), None).await;
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nforwarded: for=203.0.113.8\r\n\r\n";
        assert!(serving.say(request).await.contains("for 203.0.113.8"));
    });
}

#[test]
fn the_proxy_protocol_comes_before_everything_else() {
    on_one_thread(async {
        let serving = Serving::with(&behind(None, true), None).await;
        let header = "PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n";
        let request = format!("{header}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = serving.say(request.as_bytes()).await;
        assert!(answer.ends_with("/ http 203.0.113.9"), "{answer}");
        let nothing = serving.say(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(nothing, "");
    });
}
