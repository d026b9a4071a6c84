//! The variables that name an application's caches to its processes.

use serde_json::{Map, Value, json};

use crate::cli::Caches;
use crate::surroundings::Surroundings;

/// The application that the caches belong to, so that another one that opens one gets an error.
const OWNER: &str = "LOWMEM_SERVE_CACHE_OWNER";

/// The terms of caches by their names, as JSON.
const TERMS: &str = "LOWMEM_SERVE_CACHE_TERMS";

/// The variables that `lowmem_serve.cache` reads in every process of the application `app`.
pub(super) fn variables(
    typed: &Caches,
    app: Option<&str>,
    around: &Surroundings,
) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    if let Some(directory) = &typed.cache_dir {
        let directory = around.directory.join(directory);
        let directory = directory.to_string_lossy().into_owned();
        variables.push(("LOWMEM_CACHE_DIR".to_owned(), directory));
    }
    if !typed.caches.is_empty() {
        let terms = typed.caches.iter().map(|cache| {
            let ttl = cache.ttl.map(|ttl| ttl.as_secs_f64());
            (cache.name.clone(), json!({"size": cache.size, "ttl": ttl}))
        });
        let terms: Map<String, Value> = terms.collect();
        variables.push((TERMS.to_owned(), Value::Object(terms).to_string()));
    }
    // The import string and not the directory, which another release of the same application has another of.
    if let Some(app) = app {
        variables.push((OWNER.to_owned(), app.to_owned()));
    }
    variables
}
