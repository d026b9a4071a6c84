//! The part that an application has of places that several share.

use std::cell::RefCell;

use lowmem_base::config::ServerSettings;
use lowmem_base::percent;
use lowmem_base::routes::{Found, Routes};

/// The routes of all, and whose these are.
#[derive(Debug)]
pub(super) struct Territory {
    own: Option<String>,
    routes: RefCell<Routes>,
}

impl Territory {
    pub(super) fn of(config: &ServerSettings) -> Self {
        Self {
            own: config.application.clone(),
            routes: RefCell::new(config.routes.clone()),
        }
    }

    pub(super) fn set(&self, routes: Routes) {
        self.routes.replace(routes);
    }

    /// How many bytes of the path the application is mounted at, if the request is for it.
    pub(super) fn root(&self, host: &[u8], path: &[u8]) -> Option<usize> {
        match self.routes.borrow().find(host, path) {
            Found::Application { name, root } if Some(name) == self.own.as_deref() => Some(root),
            _ => None,
        }
    }

    /// The same for a request that the router has decided to be its own: the router may have read a
    /// newer table.
    pub(super) fn root_of_own(&self, host: &[u8], path: &[u8]) -> usize {
        self.root(host, path).unwrap_or_else(|| {
            let routes = self.routes.borrow();
            let own = routes.iter();
            let own = own.filter(|route| Some(&route.application) == self.own.as_ref());
            let roots = own.filter_map(|route| percent::prefix(path, &route.path));
            roots.max().unwrap_or_default()
        })
    }
}
