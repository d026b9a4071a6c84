//! Which protocol a callable speaks, told from its parameters.
//!
//! The three protocols differ in how many positional arguments a call has, and no application need
//! be called to find out:
//!
//! | arguments | | |
//! |---|---|---|
//! | `(scope, receive, send)` | ASGI 3 | async, or plain if it returns an awaitable |
//! | `(environ, start_response)` | WSGI (PEP 3333) | never async |
//! | `(scope)` | ASGI 2 | never async: what it returns is called with `(receive, send)` |
//!
//! A callable that fits exactly one of them speaks it. One that fits none, or several (defaults,
//! `*args`), is in doubt, and its user is asked. One that needs no argument may be a factory.

/// The interface of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One call for each connection, with `scope`, `receive` and `send`.
    Asgi3,
    /// A call with `scope`, and one of its result with `receive` and `send`.
    Asgi2,
    /// PEP 3333.
    Wsgi,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Asgi3, Self::Asgi2, Self::Wsgi];

    /// Positional arguments of the first call.
    fn arguments(self) -> usize {
        match self {
            Self::Asgi3 => 3,
            Self::Asgi2 => 1,
            Self::Wsgi => 2,
        }
    }

    /// The names of the arguments in its specification, and `env`, which many applications use.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Asgi3 => &["scope", "receive", "send"],
            Self::Asgi2 => &["scope"],
            Self::Wsgi => &["environ", "env", "start_response"],
        }
    }

    /// The value of `--interface` that asks for it.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Asgi3 => "asgi3",
            Self::Asgi2 => "asgi2",
            Self::Wsgi => "wsgi",
        }
    }
}

/// The parameters of a callable that can be given by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Their names.
    pub names: Vec<String>,
    /// How many of them, from the end, have a default.
    pub defaults: usize,
    /// It takes more than those: `*args`.
    pub variadic: bool,
    /// A call returns a coroutine.
    pub is_async: bool,
}

impl Parameters {
    /// The protocol, where a name says it, too: anything may take three arguments.
    #[must_use]
    pub fn evident_protocol(&self) -> Option<Protocol> {
        let protocol = self.protocol()?;
        let known = protocol.names();
        let mut names = self.names.iter();
        names
            .any(|name| known.contains(&name.as_str()))
            .then_some(protocol)
    }

    /// The rest when the first `count` arguments are given: `self`, those of a partial.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.names.drain(..count.min(self.names.len()));
        self.defaults = self.defaults.min(self.names.len());
        self
    }

    /// The rest when one is given by name: those behind it can't be given by position any more.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if let Some(at) = self.names.iter().position(|own| own == name) {
            let removed = self.names.len() - at;
            self.names.truncate(at);
            self.defaults = self.defaults.saturating_sub(removed);
            self.variadic = false;
        }
        self
    }

    /// Whether a call as the protocol makes it would be taken.
    #[must_use]
    pub fn fits(&self, protocol: Protocol) -> bool {
        let count = protocol.arguments();
        let enough = count >= self.names.len() - self.defaults;
        let not_too_many = self.variadic || count <= self.names.len();
        enough && not_too_many && (!self.is_async || protocol == Protocol::Asgi3)
    }

    /// Whether it can be called with nothing, and is not made for being called with anything.
    #[must_use]
    pub fn may_be_factory(&self) -> bool {
        self.names.len() == self.defaults && !self.variadic && !self.is_async
    }

    /// The one protocol that fits.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        if self.may_be_factory() {
            return None;
        }
        let mut fitting = Protocol::ALL.into_iter().filter(|p| self.fits(*p));
        fitting.next().filter(|_| fitting.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(names: &[&str], defaults: usize) -> Parameters {
        Parameters {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            defaults,
            variadic: false,
            is_async: false,
        }
    }

    fn anything() -> Parameters {
        Parameters {
            variadic: true,
            ..parameters(&[], 0)
        }
    }

    #[test]
    fn the_number_of_arguments_tells() {
        let told = |names: &[&str]| parameters(names, 0).protocol();
        assert_eq!(told(&["scope", "receive", "send"]), Some(Protocol::Asgi3));
        assert_eq!(told(&["environ", "start_response"]), Some(Protocol::Wsgi));
        assert_eq!(told(&["scope"]), Some(Protocol::Asgi2));
        assert_eq!(told(&[]), None);
        assert_eq!(told(&["a", "b", "c", "d"]), None);
    }

    #[test]
    fn only_the_names_make_it_evident() {
        let evident = |names: &[&str]| parameters(names, 0).evident_protocol();
        assert_eq!(evident(&["scope", "_r", "_s"]), Some(Protocol::Asgi3));
        assert_eq!(evident(&["environ", "respond"]), Some(Protocol::Wsgi));
        assert_eq!(evident(&["scope"]), Some(Protocol::Asgi2));
        assert_eq!(evident(&["key", "value", "seconds"]), None);
        assert_eq!(evident(&["scope", "more"]), None);
        assert_eq!(evident(&["endpoint"]), None);
    }

    #[test]
    fn defaults_that_let_two_protocols_fit_are_a_doubt() {
        assert_eq!(parameters(&["a", "b", "c"], 1).protocol(), None);
        assert_eq!(
            parameters(&["a", "b", "c", "d"], 1).protocol(),
            Some(Protocol::Asgi3)
        );
    }

    #[test]
    fn what_needs_nothing_may_be_a_factory() {
        let factory = parameters(&["settings"], 1);
        assert!(factory.may_be_factory() && factory.protocol().is_none());
        assert!(parameters(&[], 0).may_be_factory());
        assert!(!parameters(&["scope"], 0).may_be_factory() && !anything().may_be_factory());
    }

    #[test]
    fn what_takes_anything_is_a_doubt_unless_it_is_async() {
        assert_eq!(anything().protocol(), None);
        let is_async = Parameters {
            is_async: true,
            ..anything()
        };
        assert_eq!(is_async.protocol(), Some(Protocol::Asgi3));
        assert!(anything().fits(Protocol::Wsgi) && !is_async.fits(Protocol::Wsgi));
    }

    #[test]
    fn an_async_callable_of_two_arguments_is_nothing_that_exists() {
        let odd = Parameters {
            is_async: true,
            ..parameters(&["a", "b"], 0)
        };
        assert_eq!(odd.protocol(), None);
    }

    #[test]
    fn arguments_that_are_given_do_not_count() {
        let method = parameters(&["self", "environ", "start_response"], 0);
        assert_eq!(method.after(1).protocol(), Some(Protocol::Wsgi));
        let named = parameters(&["environ", "start_response", "settings"], 0);
        assert_eq!(named.without("settings").protocol(), Some(Protocol::Wsgi));
        let defaulted = parameters(&["scope", "receive", "send", "debug"], 1);
        assert_eq!(defaulted.without("debug").protocol(), Some(Protocol::Asgi3));
        assert_eq!(parameters(&["a"], 0).without("z"), parameters(&["a"], 0));
    }
}
