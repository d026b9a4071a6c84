//! `lowmem_serve.cache`: the cache on disk, seen from Python.
//!
//! A read holds the interpreter's lock: it takes some microseconds, and a thread that lets the lock go may wait for it
//! 5 ms. A write lets it go, because it may wait for the disk. Of the two locks the store's is always the inner one,
//! and no Python object is made, compared or dropped while it is held.

mod codec;
mod open;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use open::Open;

use lowmem_serve_cache::{Added, Kind, OpenError, Record, Settings, Store, Write};

create_exception!(
    lowmem_serve,
    CacheError,
    PyException,
    "A directory that cannot be used as a cache."
);

/// A cache, open in this process.
#[pyclass(subclass, frozen, name = "CacheStore", module = "lowmem_serve")]
pub(crate) struct CacheStore {
    /// Nothing after a fork, or where the directory cannot be written: every read is a miss then.
    store: Mutex<Option<Open>>,
    directory: PathBuf,
    settings: Settings,
    /// Microseconds.
    ttl: Option<u64>,
    may_pickle: bool,
}

/// The right to compute the value of a key.
#[pyclass(frozen, module = "lowmem_serve")]
pub(crate) struct CacheLease {
    lease: Mutex<Option<lowmem_serve_cache::Lease>>,
}

#[pymethods]
impl CacheLease {
    /// Gives the lease back.
    fn release(&self) {
        let lease = self
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(lease);
    }
}

#[pymethods]
impl CacheStore {
    /// Opens the cache in `directory`, an absolute path. `ttl` is in seconds.
    #[new]
    #[pyo3(signature = (directory, size, ttl=None, owner=String::new(), pickle=false))]
    fn new(
        directory: PathBuf,
        size: u64,
        ttl: Option<f64>,
        owner: String,
        pickle: bool,
    ) -> PyResult<Self> {
        Ok(Self {
            store: Mutex::new(None),
            directory,
            settings: Settings { size, owner },
            ttl: ttl.map(micros).transpose()?.flatten(),
            may_pickle: pickle,
        })
    }

    /// Opens the files; false where they cannot be written, and then every read is a miss.
    fn _open(&self, py: Python<'_>) -> PyResult<bool> {
        let opened = py.detach(|| Store::open(&self.directory, self.settings.clone()));
        match opened {
            Ok(store) => {
                if store.was_broken() {
                    self.complain(py, "was broken and has been emptied")?;
                }
                *self.locked() = Some(Open::new(store, &self.directory));
                Ok(true)
            }
            Err(error @ OpenError::Io { .. }) => {
                self.complain(py, &format!("is not used: {error}"))?;
                Ok(false)
            }
            Err(error) => Err(CacheError::new_err(error.to_string())),
        }
    }

    /// Called in a process that was forked: descriptors and their locks are shared with the parent, so that this
    /// process opens its own at the next call.
    fn _forked(&self) {
        // Held by a thread that exists in the parent only: its files stay open here, unused.
        if let Ok(mut store) = self.store.try_lock() {
            *store = None;
        }
    }

    /// Closes the files. A later call opens them again.
    fn close(&self, py: Python<'_>) {
        let store = self.locked().take();
        py.detach(|| drop(store));
    }

    /// The value of a key, or `default`.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.look(key, false)?.map(|(value, ..)| value).or(default))
    }

    /// The value of a key, whether it is fresh, and when it expires (seconds since 1970, or None); None for a miss.
    /// A stale value is one that has expired and may be shown while another is computed.
    fn peek<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Peeked<'py>>> {
        let Some((value, expires, is_fresh, tag)) = self.look(key, true)? else {
            return Ok(None);
        };
        let expires = (expires != 0).then_some(expires as f64 / 1e6);
        Ok(Some((value, is_fresh, expires, tag)))
    }

    /// Stores a value; false where it could not be kept. `ttl` is in seconds, infinity for no end; `stale` seconds
    /// more it may be shown while another is computed.
    #[pyo3(signature = (key, value, ttl=None, tag=None, stale=None))]
    fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<f64>,
        tag: Option<&str>,
        stale: Option<f64>,
    ) -> PyResult<bool> {
        let stored = self.write(key, value, (ttl, tag, stale), |store, record| {
            Added::Written(store.set(record))
        })?;
        self.is_stored(key.py(), stored)
    }

    /// Stores a value unless there is one; whether it was stored.
    #[pyo3(signature = (key, value, ttl=None, tag=None))]
    fn add(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<f64>,
        tag: Option<&str>,
    ) -> PyResult<bool> {
        let stored = self.write(key, value, (ttl, tag, None), |store, record| {
            store.add(record)
        })?;
        self.is_stored(key.py(), stored)
    }

    /// Adds to a number, atomically over all processes; the sum, or None where there is no number and no default, or
    /// the sum has more than 64 bits. A new number begins at `default`.
    #[pyo3(signature = (key, delta=1, default=Some(0), ttl=None))]
    fn incr(
        &self,
        key: &Bound<'_, PyAny>,
        delta: i64,
        default: Option<i64>,
        ttl: Option<f64>,
    ) -> PyResult<Option<i64>> {
        let zero = 0i64.into_pyobject(key.py())?;
        let stored = self.write(key, &zero, (ttl, None, None), |store, record| {
            store.increment(record, delta, default)
        })?;
        match stored {
            Some(Added::Number(number)) => Ok(Some(number)),
            Some(Added::Written(refused)) => {
                self.note(key.py(), &refused)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Gives a value another time to live; whether there was one.
    #[pyo3(signature = (key, ttl=None))]
    fn touch(&self, key: &Bound<'_, PyAny>, ttl: Option<f64>) -> PyResult<bool> {
        let (py, key) = (key.py(), codec::key(key)?);
        let now = now();
        let expires = self.expires(now, ttl)?;
        self.with(py, |store| store.touch(&key, now, expires, 0))
            .map(|touched| touched == Some(true))
    }

    /// Removes a value; whether there was one.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (py, key) = (key.py(), codec::key(key)?);
        self.with(py, |store| store.delete(&key, now()))
            .map(|deleted| deleted == Some(true))
    }

    /// Removes every value that was stored with this tag so far.
    fn evict(&self, py: Python<'_>, tag: &str) -> PyResult<bool> {
        let written = self.with(py, |store| store.evict(tag.as_bytes(), now()))?;
        self.is_stored(py, written.map(Added::Written))
    }

    /// Removes everything; false where the files cannot be written.
    fn clear(&self, py: Python<'_>) -> PyResult<bool> {
        let cleared = self.with(py, |store| store.clear())?;
        Ok(cleared.is_some_and(|cleared| cleared.is_ok()))
    }

    /// (entries, bytes on the disk, bytes it may take, hits, misses); the last two are this process's.
    fn _stats(&self, py: Python<'_>) -> PyResult<(u64, u64, u64, u64, u64)> {
        let stats = self.with(py, |store| store.stats())?.unwrap_or_default();
        Ok((
            stats.entries,
            stats.disk,
            stats.size,
            stats.hits,
            stats.misses,
        ))
    }

    /// Some keys from a place in the index on, and the next place or None. The order means nothing.
    #[pyo3(signature = (start=0))]
    fn _keys<'py>(
        &self,
        py: Python<'py>,
        start: u32,
    ) -> PyResult<(Bound<'py, PyList>, Option<u32>)> {
        let found = self.with(py, |store| store.keys(start, now()))?;
        let (keys, next) = found.unwrap_or_default();
        let list = PyList::empty(py);
        for key in keys {
            list.append(codec::unpacked_key(py, &key)?)?;
        }
        Ok((list, next))
    }

    /// The lease of a key, None while another holds it, or False where there can be none.
    fn _lease<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, key) = (key.py(), codec::key(key)?);
        match self.with(py, |store| store.lease(&key))? {
            Some(Ok(Some(lease))) => {
                let lease = Mutex::new(Some(lease));
                Ok(Bound::new(py, CacheLease { lease })?.into_any())
            }
            Some(Ok(None)) => Ok(py.None().into_bound(py)),
            _ => Ok(false.into_pyobject(py)?.to_owned().into_any()),
        }
    }
}

/// Value, whether it is fresh, when it expires, its tag.
type Peeked<'py> = (Bound<'py, PyAny>, bool, Option<f64>, Option<String>);

/// The same with the time in microseconds.
type Looked<'py> = (Bound<'py, PyAny>, u64, bool, Option<String>);

impl CacheStore {
    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        // A panic in the middle of a call leaves files as any end of the process does.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the files are open, after an attempt to open them.
    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        let is_open = self.locked().is_some();
        if is_open { Ok(true) } else { self._open(py) }
    }

    /// Does something with the store without the interpreter's lock; None where there is no store.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Open) -> T + Send,
    ) -> PyResult<Option<T>> {
        if !self.is_open(py)? {
            return Ok(None);
        }
        let (done, mended) = py.detach(|| {
            let mut locked = self.locked();
            let Some(store) = locked.as_mut() else {
                return (None, Ok(false));
            };
            let done = act(store);
            (Some(done), store.mend())
        });
        self.mended(py, mended)?;
        Ok(done)
    }

    fn mended(&self, py: Python<'_>, mended: Result<bool, OpenError>) -> PyResult<()> {
        match mended {
            Ok(false) => Ok(()),
            Ok(true) => self.complain(py, "was broken and has been emptied"),
            Err(error) => self.complain(py, &format!("is not used: {error}")),
        }
    }

    fn look<'py>(&self, key: &Bound<'py, PyAny>, stale: bool) -> PyResult<Option<Looked<'py>>> {
        let (py, key) = (key.py(), codec::key(key)?);
        if !self.is_open(py)? {
            return Ok(None);
        }
        let now = now();
        let (found, mended) = match self.locked().as_mut() {
            Some(store) => {
                let found = store.get(&key, now, stale);
                store.has_read(found.is_some());
                (found, store.mend())
            }
            None => (None, Ok(false)),
        };
        self.mended(py, mended)?;
        let Some(found) = found else {
            return Ok(None);
        };
        let Some(record) = found.record() else {
            return Ok(None);
        };
        let value = codec::decoded(py, record.kind, record.value, self.may_pickle);
        let is_fresh = record.expires == 0 || now < record.expires;
        let tag = (!record.tag.is_empty()).then(|| String::from_utf8_lossy(record.tag).into());
        let expires = record.expires;
        if let Some(store) = self.locked().as_mut() {
            store.give_back(found);
        }
        match value {
            Ok(value) => Ok(value.map(|value| (value, expires, is_fresh, tag))),
            // A class that has moved, say: what was stored is of no use any more.
            Err(raised) if self.may_pickle => {
                self.complain(
                    py,
                    &format!("has a value that cannot be unpickled: {raised}"),
                )?;
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    fn write<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        (ttl, tag, stale): (Option<f64>, Option<&str>, Option<f64>),
        act: impl FnOnce(&mut Store, &Record<'_>) -> Added + Send,
    ) -> PyResult<Option<Added>> {
        let (py, key) = (key.py(), codec::key(key)?);
        let written = now();
        let expires = self.expires(written, ttl)?;
        let stale = stale.unwrap_or(0.0).clamp(0.0, f64::from(u32::MAX)) as u32;
        let tag = tag.unwrap_or_default().as_bytes();
        codec::value(value, self.may_pickle, |kind: Kind, value| {
            let record = Record {
                written,
                expires,
                stale,
                kind,
                key: &key,
                tag,
                value,
            };
            self.with(py, |store| {
                let added = act(store, &record);
                store.has_written(&added);
                added
            })
        })
    }

    fn is_stored(&self, py: Python<'_>, stored: Option<Added>) -> PyResult<bool> {
        match stored {
            Some(Added::Written(Write::Stored)) => Ok(true),
            Some(Added::Written(refused)) => self.note(py, &refused).map(|()| false),
            _ => Ok(false),
        }
    }

    fn note(&self, py: Python<'_>, refused: &Write) -> PyResult<()> {
        match refused {
            Write::Refused(error) => self.complain(py, &format!("could not keep a value: {error}")),
            Write::TooLarge => self.complain(
                py,
                "does not keep a value that is larger than an eighth of its size",
            ),
            Write::Stored => Ok(()),
        }
    }

    fn complain(&self, py: Python<'_>, what: &str) -> PyResult<()> {
        py.import("lowmem_serve.cache")?
            .call_method1(intern!(py, "complain"), (&self.directory, what))?;
        Ok(())
    }

    fn expires(&self, now: u64, ttl: Option<f64>) -> PyResult<u64> {
        let ttl = match ttl {
            Some(ttl) => micros(ttl)?,
            None => self.ttl,
        };
        Ok(ttl.map_or(0, |ttl| now.saturating_add(ttl).max(1)))
    }
}

/// Seconds in microseconds; infinity is none.
fn micros(seconds: f64) -> PyResult<Option<u64>> {
    if seconds.is_nan() {
        return Err(PyValueError::new_err(
            "a time to live is a number of seconds",
        ));
    }
    Ok(seconds
        .is_finite()
        .then_some((seconds.max(0.0) * 1e6) as u64))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// [`CacheStore`], [`CacheLease`] and [`CacheError`].
pub(crate) type Classes<'py> = (Bound<'py, PyType>, Bound<'py, PyType>, Bound<'py, PyType>);

/// Makes the classes.
pub(crate) fn classes(py: Python<'_>) -> Classes<'_> {
    (
        py.get_type::<CacheStore>(),
        py.get_type::<CacheLease>(),
        py.get_type::<CacheError>(),
    )
}
