//! Places that applications share by hosts and paths, and the routes of their router and workers.

use std::io;
use std::slice;
use std::sync::Arc;

use tracing::{error, info};

use crate::config::Shared;
use crate::control::RoutedEnd;
use crate::net::{Listen, Listeners};
use crate::routes::{Route, Routes};
use crate::routing::{Router, Table, Target};
use crate::supervisor::Supervisor;
use crate::supervisor::application::Application;
use crate::telemetry::paint::bold;

/// The shared places, where there are any.
#[derive(Debug, Default)]
pub(super) struct Routing {
    shared: Option<Shared>,
    /// Each by itself, so that those that stay the same are not bound anew when others change.
    places: Vec<(Listen, Arc<Listeners>)>,
    /// It runs from the first table on.
    router: Option<Router>,
}

impl Routing {
    /// # Errors
    /// A place cannot be bound.
    pub(super) fn open(shared: Option<&Shared>) -> io::Result<Self> {
        let places = shared.into_iter().flat_map(|shared| {
            let opened = |place: &Listen| opened(place, shared);
            shared.listen.iter().map(opened)
        });
        Ok(Self {
            places: places.collect::<io::Result<_>>()?,
            shared: shared.cloned(),
            router: None,
        })
    }

    /// Opens the places that are new, and closes those that are no longer named.
    fn change(&mut self, shared: &Shared) {
        let mut before = std::mem::take(&mut self.places);
        for place in &shared.listen {
            match before.iter().position(|(own, _)| own == place) {
                Some(same) => self.places.push(before.swap_remove(same)),
                None => match opened(place, shared) {
                    Ok(opened) => self.places.push(opened),
                    Err(reason) => error!("Applications cannot share a place: {reason}"),
                },
            }
        }
        self.shared = Some(shared.clone());
    }
}

fn opened(place: &Listen, shared: &Shared) -> io::Result<(Listen, Arc<Listeners>)> {
    let listeners = Listeners::open(slice::from_ref(place), shared.mode, shared.backlog);
    let listeners = listeners.map_err(|error| io::Error::other(error.to_string()))?;
    // As workers do with their application's own.
    listeners.set_nonblocking()?;
    for shown in listeners.places("http") {
        info!("Applications share {}", bold(&shown));
    }
    Ok((place.clone(), Arc::new(listeners)))
}

impl Supervisor<'_> {
    /// Drops the applications of which nothing is left. Connections that one of them has not taken go
    /// back to the router.
    pub(super) fn drop_ended(&mut self) {
        let before = self.applications.len();
        let router = self
            .fleet
            .as_ref()
            .and_then(|own| own.routing.router.as_ref());
        self.applications.retain(|application| {
            if !application.is_gone() {
                return true;
            }
            if let Some(router) = router {
                while let Ok(Some((moved, socket))) = application.listeners().take_routed() {
                    router.take_back(moved, socket);
                }
            }
            false
        });
        if self.applications.len() < before {
            // The router holds an end of theirs.
            self.route();
        }
    }

    /// Has the places that the settings have by now.
    pub(super) fn share_places(&mut self, shared: Option<&Shared>) {
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        match shared {
            None => fleet.routing = Routing::default(),
            Some(shared) if fleet.routing.shared.as_ref() != Some(shared) => {
                fleet.routing.change(shared);
            }
            Some(_) => {}
        }
    }

    /// Has router and workers go by the routes that there are by now.
    pub(super) fn route(&mut self) {
        let Some(fleet) = &mut self.fleet else {
            return;
        };
        let routing = &mut fleet.routing;
        let Some(shared) = &routing.shared else {
            return;
        };
        let all: Vec<Route> = fleet
            .known
            .iter()
            .flat_map(|own| own.routes.clone())
            .collect();
        let routes = Routes::from(all);
        // Workers first: what the router sends by the new table finds workers that know it.
        for application in &mut self.applications {
            if application.listeners().router_end().is_some() {
                application.workforce.set_routes(&routes);
            }
        }
        let table = Table {
            places: routing
                .places
                .iter()
                .map(|(_, own)| Arc::clone(own))
                .collect(),
            routes,
            targets: targets(&self.applications),
            patience: shared.patience,
        };
        match &routing.router {
            Some(router) => router.update(table),
            None => match Router::start(table) {
                Ok(router) => routing.router = Some(router),
                Err(reason) => error!("Nothing answers at shared places: {reason}"),
            },
        }
    }
}

/// The applications that can be had, and those that send back what they have before they go.
fn targets(applications: &[Application<'_>]) -> Vec<Target> {
    let targets = applications.iter().filter_map(|own| {
        let end = own.listeners().router_end()?.try_clone().ok()?;
        Some(Target {
            name: own.name()?.to_owned(),
            end: RoutedEnd::over(end),
            is_tls: own.workforce.worker_config().server.tls.is_some(),
            is_leaving: own.standing().is_leaving(),
        })
    });
    targets.collect()
}
