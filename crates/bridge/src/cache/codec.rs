//! Keys and values of a cache as bytes: MessagePack for what it has, Python's pickle only where the cache allows it.
//!
//! Only objects of exactly the built-in types are packed, so that encoding runs no code of the application's and what
//! comes back is what was stored. A tuple is packed in keys only: as a value it would come back as a list.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple};
use rmp::decode::RmpRead;
use rmp::{Marker, decode, encode};

use lowmem_serve_cache::Kind;

/// Containers in each other, at most.
const DEEPEST: u32 = 100;

/// MessagePack's extension for an integer of more than 64 bits: its decimal digits.
const LARGE_INTEGER: i8 = 1;

/// Why something was not packed.
enum Failed {
    /// It is of another type; the cache may pickle it.
    Type,
    Raised(PyErr),
}

impl From<PyErr> for Failed {
    fn from(raised: PyErr) -> Self {
        Self::Raised(raised)
    }
}

/// Encodes a key.
///
/// # Errors
/// `TypeError` for what is no str, bytes, number, None or tuple of them.
pub(super) fn key(key: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    match pack(key, &mut out, 0, true) {
        Ok(()) => Ok(out),
        Err(Failed::Raised(raised)) => Err(raised),
        Err(Failed::Type) => Err(PyTypeError::new_err(format!(
            "a key is a str, bytes, a number, None or a tuple of them, not {}",
            key.get_type().name()?
        ))),
    }
}

/// Decodes a key.
///
/// # Errors
/// The bytes are none.
pub(super) fn unpacked_key<'py>(py: Python<'py>, mut bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let found = unpack(py, &mut bytes, 0)?;
    // In a key every array is a tuple.
    match found.cast::<PyList>() {
        Ok(list) => tuple(list).map(Bound::into_any),
        Err(_) => Ok(found),
    }
}

fn tuple<'py>(list: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyTuple>> {
    let items = list.iter().map(|item| match item.cast::<PyList>() {
        Ok(inner) => tuple(inner).map(Bound::into_any),
        Err(_) => Ok(item.clone()),
    });
    PyTuple::new(list.py(), items.collect::<PyResult<Vec<_>>>()?)
}

/// Encodes a value into `out`; a value of bytes or text is borrowed by `with` instead.
///
/// # Errors
/// `TypeError` for what can't be kept, and what pickling raises.
pub(super) fn value<T>(
    value: &Bound<'_, PyAny>,
    may_pickle: bool,
    with: impl FnOnce(Kind, &[u8]) -> PyResult<T>,
) -> PyResult<T> {
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return with(Kind::Bytes, bytes.as_bytes());
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        return with(Kind::Text, text.to_cow()?.as_bytes());
    }
    if value.cast_exact::<PyInt>().is_ok()
        && let Ok(number) = value.extract::<i64>()
    {
        return with(Kind::Integer, &number.to_le_bytes());
    }
    let mut out = Vec::new();
    match pack(value, &mut out, 0, false) {
        Ok(()) => with(Kind::Packed, &out),
        Err(Failed::Raised(raised)) => Err(raised),
        Err(Failed::Type) if may_pickle => {
            let pickled = value
                .py()
                .import("pickle")?
                .call_method1("dumps", (value, 5))?;
            with(Kind::Pickle, pickled.cast::<PyBytes>()?.as_bytes())
        }
        Err(Failed::Type) => Err(PyTypeError::new_err(
            "a cache keeps bytes, str, numbers, None, and lists and dicts of them; a tuple, a set or an object of a \
             class needs a cache that was opened with pickle=True",
        )),
    }
}

/// Decodes a value; `None` for a pickle where the cache does not allow any.
///
/// # Errors
/// The bytes are no value, and what unpickling raises.
pub(super) fn decoded<'py>(
    py: Python<'py>,
    kind: Kind,
    mut bytes: &[u8],
    may_pickle: bool,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(match kind {
        Kind::Bytes => PyBytes::new(py, bytes).into_any(),
        Kind::Text => PyString::from_bytes(py, bytes)?.into_any(),
        Kind::Integer => {
            let number = bytes.first_chunk::<8>().copied().unwrap_or_default();
            i64::from_le_bytes(number).into_pyobject(py)?.into_any()
        }
        Kind::Packed => unpack(py, &mut bytes, 0)?,
        Kind::Pickle if may_pickle => {
            let bytes = PyBytes::new(py, bytes);
            py.import("pickle")?.call_method1("loads", (bytes,))?
        }
        Kind::Pickle | Kind::TagEvicted => return Ok(None),
    }))
}

fn written<E: std::fmt::Display>(result: Result<impl Sized, E>) -> Result<(), Failed> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(Failed::Raised(PyValueError::new_err(error.to_string()))),
    }
}

fn length(length: usize) -> Result<u32, Failed> {
    let fits = u32::try_from(length);
    fits.map_err(|_| Failed::Raised(PyValueError::new_err("longer than 4 GiB")))
}

fn pack(
    value: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    depth: u32,
    is_key: bool,
) -> Result<(), Failed> {
    if depth > DEEPEST {
        let why = format!("more than {DEEPEST} containers in each other");
        return Err(Failed::Raised(PyValueError::new_err(why)));
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        written(encode::write_str(out, &text.to_cow()?))
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        written(encode::write_bool(out, flag.is_true()))
    } else if value.cast_exact::<PyInt>().is_ok() {
        pack_integer(value, out)
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        written(encode::write_f64(out, number.value()))
    } else if value.cast_exact::<PyNone>().is_ok() {
        written(encode::write_nil(out))
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        written(encode::write_bin(out, bytes.as_bytes()))
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>()
        && is_key
    {
        written(encode::write_array_len(out, length(tuple.len())?))?;
        tuple
            .iter()
            .try_for_each(|item| pack(&item, out, depth + 1, is_key))
    } else if let Ok(list) = value.cast_exact::<PyList>()
        && !is_key
    {
        written(encode::write_array_len(out, length(list.len())?))?;
        list.iter()
            .try_for_each(|item| pack(&item, out, depth + 1, is_key))
    } else if let Ok(dict) = value.cast_exact::<PyDict>()
        && !is_key
    {
        written(encode::write_map_len(out, length(dict.len())?))?;
        dict.iter().try_for_each(|(key, value)| {
            pack(&key, out, depth + 1, true)?;
            pack(&value, out, depth + 1, false)
        })
    } else {
        Err(Failed::Type)
    }
}

fn pack_integer(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Result<(), Failed> {
    if let Ok(number) = value.extract::<i64>() {
        return written(encode::write_sint(out, number));
    }
    if let Ok(number) = value.extract::<u64>() {
        return written(encode::write_uint(out, number));
    }
    let digits = value.str()?;
    let digits = digits.to_cow()?;
    written(encode::write_ext_meta(
        out,
        length(digits.len())?,
        LARGE_INTEGER,
    ))?;
    out.extend_from_slice(digits.as_bytes());
    Ok(())
}

fn broken(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("a broken value: {error}"))
}

fn taken<'a>(bytes: &mut &'a [u8], length: usize) -> PyResult<&'a [u8]> {
    let (taken, rest) = bytes
        .split_at_checked(length)
        .ok_or_else(|| broken("it ends early"))?;
    *bytes = rest;
    Ok(taken)
}

fn unpack<'py>(py: Python<'py>, bytes: &mut &[u8], depth: u32) -> PyResult<Bound<'py, PyAny>> {
    if depth > DEEPEST + 1 {
        return Err(broken("too deep"));
    }
    let marker = decode::read_marker(bytes).map_err(|error| broken(error.0))?;
    Ok(match marker {
        Marker::Null => py.None().into_bound(py),
        Marker::True | Marker::False => PyBool::new(py, marker == Marker::True)
            .to_owned()
            .into_any(),
        Marker::FixPos(number) => number.into_pyobject(py)?.into_any(),
        Marker::FixNeg(number) => number.into_pyobject(py)?.into_any(),
        Marker::U8 => unsigned(py, bytes, 1)?,
        Marker::U16 => unsigned(py, bytes, 2)?,
        Marker::U32 => unsigned(py, bytes, 4)?,
        Marker::U64 => unsigned(py, bytes, 8)?,
        Marker::I8 => bytes
            .read_data_i8()
            .map_err(broken)?
            .into_pyobject(py)?
            .into_any(),
        Marker::I16 => bytes
            .read_data_i16()
            .map_err(broken)?
            .into_pyobject(py)?
            .into_any(),
        Marker::I32 => bytes
            .read_data_i32()
            .map_err(broken)?
            .into_pyobject(py)?
            .into_any(),
        Marker::I64 => bytes
            .read_data_i64()
            .map_err(broken)?
            .into_pyobject(py)?
            .into_any(),
        Marker::F64 => PyFloat::new(py, bytes.read_data_f64().map_err(broken)?).into_any(),
        Marker::FixStr(length) => text(py, bytes, length.into())?,
        Marker::Str8 => sized(bytes, 1).and_then(|length| text(py, bytes, length))?,
        Marker::Str16 => sized(bytes, 2).and_then(|length| text(py, bytes, length))?,
        Marker::Str32 => sized(bytes, 4).and_then(|length| text(py, bytes, length))?,
        Marker::Bin8 => sized(bytes, 1).and_then(|length| binary(py, bytes, length))?,
        Marker::Bin16 => sized(bytes, 2).and_then(|length| binary(py, bytes, length))?,
        Marker::Bin32 => sized(bytes, 4).and_then(|length| binary(py, bytes, length))?,
        Marker::FixArray(length) => array(py, bytes, length.into(), depth)?,
        Marker::Array16 => sized(bytes, 2).and_then(|length| array(py, bytes, length, depth))?,
        Marker::Array32 => sized(bytes, 4).and_then(|length| array(py, bytes, length, depth))?,
        Marker::FixMap(length) => map(py, bytes, length.into(), depth)?,
        Marker::Map16 => sized(bytes, 2).and_then(|length| map(py, bytes, length, depth))?,
        Marker::Map32 => sized(bytes, 4).and_then(|length| map(py, bytes, length, depth))?,
        Marker::FixExt16 => large_integer(py, bytes, 16)?,
        Marker::FixExt8 | Marker::FixExt4 | Marker::FixExt2 | Marker::FixExt1 => {
            return Err(broken("an unknown extension"));
        }
        Marker::Ext8 => sized(bytes, 1).and_then(|length| large_integer(py, bytes, length))?,
        Marker::Ext16 => sized(bytes, 2).and_then(|length| large_integer(py, bytes, length))?,
        Marker::Ext32 => sized(bytes, 4).and_then(|length| large_integer(py, bytes, length))?,
        other => return Err(broken(format!("the marker {other:?}"))),
    })
}

/// A number in so many bytes, the highest first.
fn sized(bytes: &mut &[u8], width: usize) -> PyResult<usize> {
    let digits = taken(bytes, width)?;
    Ok(digits
        .iter()
        .fold(0, |all, byte| all << 8 | usize::from(*byte)))
}

fn unsigned<'py>(py: Python<'py>, bytes: &mut &[u8], width: usize) -> PyResult<Bound<'py, PyAny>> {
    Ok(sized(bytes, width)?.into_pyobject(py)?.into_any())
}

fn text<'py>(py: Python<'py>, bytes: &mut &[u8], length: usize) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyString::from_bytes(py, taken(bytes, length)?)?.into_any())
}

fn binary<'py>(py: Python<'py>, bytes: &mut &[u8], length: usize) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyBytes::new(py, taken(bytes, length)?).into_any())
}

fn array<'py>(
    py: Python<'py>,
    bytes: &mut &[u8],
    length: usize,
    depth: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for _ in 0..length {
        list.append(unpack(py, bytes, depth + 1)?)?;
    }
    Ok(list.into_any())
}

fn map<'py>(
    py: Python<'py>,
    bytes: &mut &[u8],
    length: usize,
    depth: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let dict = PyDict::new(py);
    for _ in 0..length {
        let key = unpack(py, bytes, depth + 1)?;
        let key = match key.cast::<PyList>() {
            Ok(list) => tuple(list)?.into_any(),
            Err(_) => key,
        };
        dict.set_item(key, unpack(py, bytes, depth + 1)?)?;
    }
    Ok(dict.into_any())
}

fn large_integer<'py>(
    py: Python<'py>,
    bytes: &mut &[u8],
    length: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let kind = taken(bytes, 1)?;
    if kind != [LARGE_INTEGER as u8] {
        return Err(broken("an unknown extension"));
    }
    let digits = std::str::from_utf8(taken(bytes, length)?).map_err(broken)?;
    py.get_type::<PyInt>().call1((digits,))
}
