//! What the protocol costs without sockets and without Python: `cargo bench -p lowmem-serve-micro`.
//!
//! Building a scope needs an interpreter; `benches/gate.py` counts it, with all the rest of a request.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lowmem_http::asgi::http::Framing;
use lowmem_http::server::{
    BodyDecoder, BodyLength, Defaults, HeadLimits, HeadScan, Persist, ResponseHead, parse,
};
use lowmem_serve_micro::{BARE, BROWSER, chunked};

const BODY: usize = 64 * 1024;

const LIMITS: HeadLimits = HeadLimits {
    size: 64 * 1024,
    target: 16 * 1024,
    fields: 128,
};

fn head(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request head");
    for (name, request) in [("bare", BARE), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let found = HeadScan::default().advance(black_box(request), LIMITS);
                let range = found.expect("well-formed").expect("complete");
                parse(&request[range], LIMITS, |head| {
                    (head.headers.len(), head.keep_alive)
                })
            });
        });
    }
    group.finish();
}

fn response(criterion: &mut Criterion) {
    let defaults = Defaults {
        server: true,
        date: true,
        fields: Vec::new(),
        closing: AtomicBool::new(false),
    };
    criterion.bench_function("response head", |bencher| {
        let mut buffer = Vec::with_capacity(BODY);
        bencher.iter(|| {
            buffer.clear();
            let mut head = ResponseHead::new(std::mem::take(&mut buffer), 200);
            for (name, value) in [
                (&b"content-type"[..], &b"text/html; charset=utf-8"[..]),
                (b"content-length", b"5120"),
                (b"cache-control", b"private, max-age=60"),
                (
                    b"set-cookie",
                    b"session=9f2c1d0a7b6e4f5a8c3d2e1f0a9b8c7d; HttpOnly",
                ),
            ] {
                head.field(black_box(name), black_box(value))
                    .expect("well-formed");
            }
            buffer = head.finish(Framing::Length(5120), &defaults, Persist::Default);
        });
    });
}

fn body(criterion: &mut Criterion) {
    let coded = chunked(BODY);
    let mut group = criterion.benchmark_group("request body");
    group.throughput(Throughput::Bytes(BODY as u64));
    group.bench_function("chunked", |bencher| {
        let mut body = Vec::with_capacity(BODY);
        bencher.iter(|| {
            body.clear();
            let mut decoder =
                BodyDecoder::new(BodyLength::Chunked, u64::MAX).expect("within the limit");
            decoder
                .decode(black_box(&coded), &mut body, BODY)
                .expect("well-formed")
        });
    });
    group.finish();
}

criterion_group!(benches, head, response, body);
criterion_main!(benches);
