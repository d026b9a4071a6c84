//! Messages in every order, and the framing that they come to.

use super::*;

const GET: Request = Request {
    head: false,
    version: Version::Http11,
    trailers: false,
    hints: false,
};
const HEAD: Request = Request {
    head: true,
    version: Version::Http11,
    trailers: false,
    hints: false,
};
const OLD: Request = Request {
    head: false,
    version: Version::Http10,
    trailers: false,
    hints: false,
};

fn started(declared: Declared) -> Response {
    let mut response = Response::Awaited;
    response
        .start(200, declared)
        .expect("a start is legal first");
    response
}

fn length(length: u64) -> Declared {
    Declared {
        length: Some(length),
        ..Declared::default()
    }
}

#[test]
fn a_body_in_one_message_gets_its_length() {
    let step = started(Declared::default()).body(GET, 5, false);
    assert_eq!(step.map(|s| s.framing), Ok(Framing::Length(5)));
}

#[test]
fn a_streamed_body_is_chunked_or_ends_with_an_old_connection() {
    let chunked = started(Declared::default()).body(GET, 5, true);
    assert_eq!(chunked.map(|s| s.framing), Ok(Framing::Chunked));
    let old = started(Declared::default()).body(OLD, 5, true);
    assert_eq!(old.map(|s| s.framing), Ok(Framing::UntilClose));
}

#[test]
fn the_announced_length_is_a_promise() {
    let mut response = started(length(5));
    assert!(response.body(GET, 3, true).is_ok());
    assert_eq!(response.body(GET, 3, true), Err(Refusal::TooLong));
    assert_eq!(response.body(GET, 1, false), Err(Refusal::TooShort));
    assert!(response.body(GET, 2, false).is_ok());
    assert!(response.is_complete());
}

#[test]
fn trailers_come_once_where_they_were_promised_behind_the_body() {
    let taking = Request {
        trailers: true,
        ..GET
    };
    let mut response = started(length(3));
    assert_eq!(response.trailers(false), Err(Refusal::EarlyTrailers));
    response.promise_trailers();
    let step = response.body(taking, 3, false).unwrap();
    assert_eq!((step.framing, step.last), (Framing::Chunked, false));
    assert_eq!(
        response.body(taking, 0, false),
        Err(Refusal::BodyForTrailers)
    );
    assert_eq!(response.may_hint(), Err(Refusal::LateHint));
    assert_eq!(response.trailers(true), Ok(Framing::Chunked));
    assert!(!response.is_complete());
    assert_eq!(response.trailers(false), Ok(Framing::Chunked));
    assert_eq!(response.trailers(false), Err(Refusal::AlreadyComplete));
    // A client that does not take them receives the body alone.
    let mut response = started(length(3));
    response.promise_trailers();
    let step = response.body(GET, 3, false);
    assert_eq!(step.map(|step| step.framing), Ok(Framing::Length(3)));
}

#[test]
fn head_204_and_304_have_no_body() {
    let head = started(Declared::default()).body(HEAD, 13, false);
    assert_eq!(head.map(|s| s.framing), Ok(Framing::Bodiless(Some(13))));
    for (status, announced) in [(204, None), (304, Some(7))] {
        let mut response = Response::Awaited;
        response.start(status, length(7)).expect("legal");
        let step = response.body(GET, 0, false);
        assert_eq!(step.map(|s| s.framing), Ok(Framing::Bodiless(announced)));
    }
}

#[test]
fn messages_out_of_order_are_refused() {
    assert_eq!(
        Response::Awaited.body(GET, 0, false),
        Err(Refusal::NotStarted)
    );
    let mut response = started(Declared::default());
    assert_eq!(
        response.start(200, Declared::default()),
        Err(Refusal::AlreadyStarted)
    );
    assert!(response.body(GET, 0, false).is_ok());
    assert_eq!(response.body(GET, 0, false), Err(Refusal::AlreadyComplete));
    assert_eq!(
        response.start(200, Declared::default()),
        Err(Refusal::AlreadyComplete)
    );
}

#[test]
fn only_final_statuses_are_taken() {
    for status in [-1, 0, 99, 100, 101, 199, 1000, 70_000] {
        let refused = Response::Awaited.start(status, Declared::default());
        assert_eq!(refused, Err(Refusal::Status(status)));
    }
}
