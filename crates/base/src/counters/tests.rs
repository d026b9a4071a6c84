use super::*;
use crate::sys::shared_page::SharedPage;

fn key(method: &str, status: u16) -> Key {
    Key::new(method, status, 1, false)
}

fn counts(page: &Page) -> Counts {
    let mut counts = Counts::default();
    counts.add(page);
    counts
}

#[test]
fn a_key_tells_what_it_was_made_of() {
    for (method, status, version, is_secure) in [
        ("GET", 200, 1, false),
        ("PATCH", 599, 2, true),
        ("HEAD", 100, 0, false),
    ] {
        let key = Key::new(method, status, version, is_secure);
        assert_eq!((key.method(), key.status()), (method, Some(status)));
        assert_eq!(key.version(), ["1.0", "1.1", "2"][version]);
        assert_eq!(key.scheme(), ["http", "https"][usize::from(is_secure)]);
        assert_eq!(Key::of(key.number()), Some(key));
    }
    assert_eq!(key("GET", 0).with_status(304), key("GET", 304));
    assert_eq!(key("BREW", 418).method(), "_OTHER");
    assert_eq!(key("GET", 0).status(), None);
    assert_eq!(Key::of(0), None);
}

#[test]
fn what_one_side_writes_the_other_reads() {
    let ours = SharedPage::new().unwrap();
    let theirs = SharedPage::open(ours.descriptor().try_clone_to_owned().unwrap()).unwrap();
    theirs.answered(key("GET", 200), Duration::from_millis(3));
    theirs.answered(key("GET", 200), Duration::from_millis(5));
    theirs.answered(key("GET", 500), Duration::from_secs(11));
    theirs.handed_over(1);
    set(&theirs.now.active, 7);
    step(&theirs.now.turns);
    let counted = counts(&ours);
    assert_eq!(
        (counted.total(), counted.failed(), counted.handed_over),
        (3, 1, 1)
    );
    assert_eq!(counted.requests[&key("GET", 200)].buckets[0], 2);
    assert_eq!(counted.requests[&key("GET", 500)].buckets[BUCKETS - 1], 1);
    assert!((counted.durations().seconds - 11.008).abs() < 1e-9);
    let now = Gauges::of(&ours);
    assert_eq!((now.active, now.turns), (7, 1));
}

#[test]
fn nothing_is_lost_however_many_kinds_there_are() {
    let page = SharedPage::new().unwrap();
    for round in 0..2 {
        for status in 200..500 {
            page.answered(key("GET", status), Duration::from_millis(round));
        }
    }
    let counted = counts(&page);
    assert_eq!(counted.total(), 600);
    assert_eq!(counted.requests.len(), SERIES);
    let rest = counted.requests[&Key::OTHER].count();
    assert_eq!(rest, 2 * (300 - (SERIES as u64 - 1)));
}

#[test]
fn quantiles_are_those_that_prometheus_would_estimate() {
    let mut times = Histogram::default();
    assert_eq!(times.quantile(0.5), None);
    for _ in 0..90 {
        times.observe(Duration::from_millis(4));
    }
    for _ in 0..10 {
        times.observe(Duration::from_millis(60));
    }
    assert_eq!(times.quantile(0.9), Some(0.005));
    assert_eq!(times.quantile(0.95), Some(0.0625));
    let before = times;
    times.observe(Duration::from_secs(60));
    assert_eq!(times.since(&before).count(), 1);
    assert_eq!(times.since(&before).quantile(0.5), Some(10.0));
}
