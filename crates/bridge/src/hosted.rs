//! The application that the worker serves: ASGI or WSGI.

use std::sync::Arc;

use tokio::io::ReadBuf;

use lowmem_http::own_body::OwnBody;
use lowmem_http::peers::{Peers, TlsFacts};
use lowmem_http::server::application::Application;
use lowmem_http::server::{Conversation, Exchange, RequestHead};

use crate::application::Asgi;
use crate::scope::Template;
use crate::wsgi::{Link, Wsgi};

/// The application: a value, so that the server exists once.
pub enum Hosted {
    Asgi(Box<Asgi>),
    Wsgi(Wsgi),
}

/// The state that is kept for a connection.
pub enum Kept {
    Asgi(Option<Template>),
    Wsgi(Arc<Link>),
}

impl Application for Hosted {
    type Connection = Kept;

    fn connect(&self, peers: &Peers, tls: Option<&TlsFacts>) -> Kept {
        match self {
            Self::Asgi(asgi) => Kept::Asgi(asgi.connect(peers, tls)),
            Self::Wsgi(_) => Kept::Wsgi(Arc::new(Link::new(peers, tls.is_some()))),
        }
    }

    fn request(&self, connection: &Kept, head: &RequestHead<'_>, exchange: Arc<Exchange>) {
        match (self, connection) {
            (Self::Asgi(asgi), Kept::Asgi(template)) => asgi.request(template, head, exchange),
            (Self::Wsgi(wsgi), Kept::Wsgi(link)) => wsgi.request(link, head, exchange),
            // `connect` makes the one that fits.
            _ => debug_assert!(false, "a connection of the other kind"),
        }
    }

    fn own_body(&self, size: usize, fill: &mut dyn FnMut(&mut ReadBuf<'_>)) -> Option<OwnBody> {
        match self {
            Self::Asgi(asgi) => asgi.own_body(size, fill),
            Self::Wsgi(_) => None,
        }
    }

    fn cancel(&self, exchange: &Exchange) {
        // A view of WSGI runs on a thread, which cannot be ended.
        if let Self::Asgi(asgi) = self {
            asgi.cancel(exchange);
        }
    }

    fn cancel_websocket(&self, conversation: &Conversation) {
        if let Self::Asgi(asgi) = self {
            asgi.cancel_websocket(conversation);
        }
    }

    fn takes_websockets(&self) -> bool {
        match self {
            Self::Asgi(asgi) => asgi.takes_websockets(),
            // WSGI has no word for them.
            Self::Wsgi(_) => false,
        }
    }

    fn websocket(
        &self,
        connection: &Kept,
        head: &RequestHead<'_>,
        conversation: Arc<Conversation>,
    ) {
        match (self, connection) {
            (Self::Asgi(asgi), Kept::Asgi(template)) => {
                asgi.websocket(template, head, conversation);
            }
            _ => debug_assert!(false, "WSGI takes no WebSockets"),
        }
    }
}
