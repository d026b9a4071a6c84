//! The interface of an application: from the settings, or detected from its signature.
//!
//! `inspect` would tell, for two megabytes and half of asyncio's imports. What is looked at instead:
//!
//! * a function, or a method: its code object says how many parameters it has and whether a call
//!   makes a coroutine; `self` and what a `functools.partial` gives do not count;
//! * an object: the `__call__` of its type, or what a call leads to where that is no method (a slot, a
//!   property, a static method); a class: its `__init__`, or else its `__new__`;
//! * a wrapper that takes anything (`*args`), or that is not written in Python: what its
//!   `__wrapped__` is, if it says so (`functools.wraps`, wrapt).
//!
//! [`Parameters`] has the rule that follows from it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use lowmem_base::config::Interface;
use lowmem_http::interface::{Parameters, Protocol};

/// `inspect.CO_VARARGS` and what makes a call return a coroutine or an asynchronous generator:
/// `CO_COROUTINE`, `CO_ITERABLE_COROUTINE`, `CO_ASYNC_GENERATOR`. Documented, and part of `.pyc` files.
const VARIADIC: u32 = 0x0004;
const ASYNC: u32 = 0x0080 | 0x0100 | 0x0200;

/// Wrappers within wrappers that are looked through; more are a loop.
const MOST_LAYERS: usize = 32;

/// Says what `app` speaks.
///
/// # Errors
/// It does not have the interface of the settings, or its interface cannot be detected. The text is meant
/// for the operator.
pub fn protocol(app: &Bound<'_, PyAny>, asked: Interface) -> Result<Protocol, String> {
    if !app.is_callable() {
        let kind = type_name(app);
        return Err(format!(
            "The application is of type {kind}, which cannot be called."
        ));
    }
    let protocol = match asked {
        Interface::Auto => return detected(app).ok_or_else(|| in_doubt(app)),
        Interface::Asgi3 => Protocol::Asgi3,
        Interface::Asgi2 => Protocol::Asgi2,
        Interface::Wsgi => Protocol::Wsgi,
    };
    // An explicit setting outweighs a wrapper's signature; only an application that can't be called is refused.
    let fits = parameters(app, false, MOST_LAYERS).is_none_or(|own| own.fits(protocol));
    if fits {
        return Ok(protocol);
    }
    let hint = match detected(app) {
        Some(other) => format!("It looks like --interface {}.", other.flag()),
        None => "Its parameters fit none of the interfaces.".to_owned(),
    };
    Err(format!(
        "As it stands, {} cannot be called as --interface {} asks for. {hint}",
        described(app),
        protocol.flag()
    ))
}

/// Whether calling this with nothing could give the application. Uvicorn calls every one to find
/// out; one that takes other arguments, or anything, is not called here.
pub fn may_be_factory(object: &Bound<'_, PyAny>) -> bool {
    parameters(object, true, MOST_LAYERS).is_none_or(|own| own.may_be_factory())
}

fn in_doubt(app: &Bound<'_, PyAny>) -> String {
    format!(
        "Cannot tell which interface {} has: it takes neither (scope, receive, send) nor (environ, \
         start_response) nor (scope) and nothing else. Say so with --interface asgi3, wsgi or asgi2, \
         or with --factory, if it makes the application.",
        described(app)
    )
}

fn described(app: &Bound<'_, PyAny>) -> String {
    format!("the application (of type {})", type_name(app))
}

fn type_name(app: &Bound<'_, PyAny>) -> String {
    let name = app.get_type().name();
    name.map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

/// The interface of `app`, if it can be detected.
pub fn detected(app: &Bound<'_, PyAny>) -> Option<Protocol> {
    let protocol = parameters(app, true, MOST_LAYERS)?.protocol()?;
    let Ok(class) = app.cast::<PyType>() else {
        return Some(protocol);
    };
    // An instance of a class must be usable as the protocol requires.
    let needed = match protocol {
        Protocol::Asgi3 => "__await__",
        Protocol::Asgi2 => "__call__",
        Protocol::Wsgi => "__iter__",
    };
    class
        .hasattr(needed)
        .is_ok_and(|has| has)
        .then_some(protocol)
}

/// Whether `value` is an application for sure: no class, and its parameters have a protocol's names.
pub fn is_evident(value: &Bound<'_, PyAny>) -> bool {
    let parameters = || parameters(value, true, MOST_LAYERS);
    !value.is_instance_of::<PyType>()
        && parameters().is_some_and(|own| own.evident_protocol().is_some())
}

/// The parameters of a callable, if they can be known; those of what it wraps, if `unwrap`.
fn parameters(callable: &Bound<'_, PyAny>, unwrap: bool, layers: usize) -> Option<Parameters> {
    let layers = layers.checked_sub(1)?;
    let own = if let Some(partial) = as_partial(callable, unwrap, layers) {
        Some(partial)
    } else if let Ok(class) = callable.cast::<PyType>() {
        of_class(class)
    } else if let Some(method) = attribute(callable, "__func__") {
        Some(parameters(&method, unwrap, layers)?.after(1))
    } else if let Some(function) = of_function(callable) {
        Some(function)
    } else {
        of_object(callable, unwrap, layers)
    };
    let silent = own
        .as_ref()
        .is_none_or(|own| own.variadic && !own.is_async && own.protocol().is_none());
    if unwrap
        && silent
        && let Some(wrapped) = attribute(callable, "__wrapped__")
    {
        return parameters(&wrapped, unwrap, layers).or(own);
    }
    own
}

/// The parameters of an object that is called by the `__call__` of its type.
fn of_object(object: &Bound<'_, PyAny>, unwrap: bool, layers: usize) -> Option<Parameters> {
    let call = attribute(object.get_type().as_any(), "__call__")?;
    let own = attribute(object, "__call__");
    let is_static = own.as_ref().is_some_and(|own| own.is(&call));
    match of_function(&call) {
        Some(function) if is_static => Some(function),
        Some(method) => Some(method.after(1)),
        // A descriptor: a slot that the object has filled, a property.
        None => parameters(&own?, unwrap, layers),
    }
}

fn as_partial(callable: &Bound<'_, PyAny>, unwrap: bool, layers: usize) -> Option<Parameters> {
    let py = callable.py();
    // The C half of functools: built in, so that nothing is imported that was not.
    let kind = py.import("_functools").ok()?.getattr("partial").ok()?;
    if !callable.is_instance(&kind).ok()? {
        return None;
    }
    let inner = parameters(&callable.getattr("func").ok()?, unwrap, layers)?;
    let given = callable.getattr("args").ok()?.cast_into::<PyTuple>().ok()?;
    let by_name = callable.getattr("keywords").ok()?;
    let by_name = by_name.cast::<PyDict>().ok()?.keys();
    let mut left = inner.after(given.len());
    for name in by_name.iter() {
        left = left.without(&name.extract::<String>().ok()?);
    }
    Some(left)
}

fn of_class(class: &Bound<'_, PyType>) -> Option<Parameters> {
    ["__init__", "__new__"].into_iter().find_map(|name| {
        let made = of_function(&attribute(class.as_any(), name)?)?.after(1);
        Some(Parameters {
            is_async: false,
            ..made
        })
    })
}

/// The parameters of what has a code object: a function, also one that Cython has compiled.
fn of_function(function: &Bound<'_, PyAny>) -> Option<Parameters> {
    let py = function.py();
    let code = attribute(function, "__code__")?;
    let count: usize = code
        .getattr(intern!(py, "co_argcount"))
        .ok()?
        .extract()
        .ok()?;
    let flags: u32 = code.getattr(intern!(py, "co_flags")).ok()?.extract().ok()?;
    let names: Vec<String> = code
        .getattr(intern!(py, "co_varnames"))
        .ok()?
        .extract()
        .ok()?;
    let defaults = function.getattr(intern!(py, "__defaults__")).ok()?;
    // `inspect.markcoroutinefunction`, and asyncio's own mark before it.
    let marked = ["_is_coroutine_mark", "_is_coroutine"]
        .into_iter()
        .any(|mark| attribute(function, mark).is_some());
    Some(Parameters {
        names: names.into_iter().take(count).collect(),
        defaults: defaults.cast::<PyTuple>().map_or(0, |tuple| tuple.len()),
        variadic: flags & VARIADIC != 0,
        is_async: marked || flags & ASYNC != 0,
    })
}

/// An attribute that is there and is not None.
fn attribute<'py>(object: &Bound<'py, PyAny>, name: &str) -> Option<Bound<'py, PyAny>> {
    object.getattr(name).ok().filter(|value| !value.is_none())
}

/// An ASGI 2 application, called as ASGI 3 calls one.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct SingleCallable {
    double: Py<PyAny>,
}

impl SingleCallable {
    pub fn new(double: Py<PyAny>) -> Self {
        Self { double }
    }
}

#[pymethods]
impl SingleCallable {
    fn __call__<'py>(
        &self,
        scope: Bound<'py, PyAny>,
        receive: Bound<'py, PyAny>,
        send: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = scope.py();
        self.double.bind(py).call1((scope,))?.call1((receive, send))
    }
}
