//! The key by which requests are counted separately.

/// Method, status, version of HTTP, and scheme, in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u64);

/// The methods of RFC 9110 and RFC 5789; every other one is `_OTHER`, so that clients cannot make
/// any number of series.
const METHODS: [&str; 10] = [
    "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", OTHER,
];

const OTHER: &str = "_OTHER";

/// `network.protocol.version`.
const VERSIONS: [&str; 3] = ["1.0", "1.1", "2"];

const STATUS_BITS: u32 = 10;
const METHOD_BITS: u32 = 4;
const VERSION_BITS: u32 = 2;

/// Tells a key from an empty place.
const USED: u64 = 1 << 63;

impl Key {
    /// The key of requests beyond the kinds that are counted separately.
    pub const OTHER: Self = Self(USED | (METHODS.len() as u64 - 1) << STATUS_BITS);

    /// A request's. Without a response the status is 0.
    #[must_use]
    pub fn new(method: &str, status: u16, version: usize, is_secure: bool) -> Self {
        let named = METHODS.iter().position(|name| *name == method);
        let method = named.unwrap_or(METHODS.len() - 1) as u64;
        let status = u64::from(status).min((1 << STATUS_BITS) - 1);
        let version = version.min(VERSIONS.len() - 1) as u64;
        let above = METHOD_BITS + STATUS_BITS;
        Self(
            USED | status
                | method << STATUS_BITS
                | version << above
                | u64::from(is_secure) << (above + VERSION_BITS),
        )
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        let bits = (1 << STATUS_BITS) - 1;
        Self(self.0 & !bits | u64::from(status).min(bits))
    }

    /// The number that stands for it.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// The key that a number stands for.
    pub(super) fn of(number: u64) -> Option<Self> {
        (number & USED != 0).then_some(Self(number))
    }

    /// A number that is another one for most other keys.
    pub(super) fn spread(self) -> usize {
        // Fibonacci hashing.
        (self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize
    }

    /// `http.request.method`
    #[must_use]
    pub fn method(self) -> &'static str {
        let at = (self.0 >> STATUS_BITS) & ((1 << METHOD_BITS) - 1);
        METHODS.get(at as usize).copied().unwrap_or(OTHER)
    }

    /// `http.response.status_code`, if there was a response.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        let status = (self.0 & ((1 << STATUS_BITS) - 1)) as u16;
        (status != 0).then_some(status)
    }

    /// `network.protocol.version`
    #[must_use]
    pub fn version(self) -> &'static str {
        let at = (self.0 >> (METHOD_BITS + STATUS_BITS)) & ((1 << VERSION_BITS) - 1);
        VERSIONS.get(at as usize).copied().unwrap_or("1.1")
    }

    /// `url.scheme`
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match (self.0 >> (METHOD_BITS + STATUS_BITS + VERSION_BITS)) & 1 {
            0 => "http",
            _ => "https",
        }
    }
}
