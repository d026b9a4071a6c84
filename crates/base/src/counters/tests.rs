use std::path::Path;

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

#[test]
fn caches_are_counted_by_their_directories_and_added_up_by_their_names() {
    let page = SharedPage::new().unwrap();
    let pages = page.cache("/var/cache/pages".as_ref()).unwrap();
    pages.read(true);
    pages.read(false);
    pages.stored();
    let again = page.cache("/var/cache/pages".as_ref()).unwrap();
    again.read(true);
    page.cache("/srv/pages".as_ref()).unwrap().read(true);
    page.cache("/srv/thumbs".as_ref()).unwrap().stored();
    let caches = counts(&page).caches;
    assert_eq!(caches.keys().collect::<Vec<_>>(), ["pages", "thumbs"]);
    let pages = &caches["pages"];
    assert_eq!((pages.hits, pages.misses, pages.sets), (3, 1, 1));
    assert_eq!(caches["thumbs"].directory, Path::new("/srv/thumbs"));
}

#[test]
fn a_cache_for_which_there_is_no_place_is_not_counted() {
    let page = SharedPage::new().unwrap();
    assert!(page.cache("".as_ref()).is_none());
    assert!(
        page.cache(format!("/{}", "x".repeat(256)).as_ref())
            .is_none()
    );
    let longest = format!("/{}", "x".repeat(255));
    assert!(page.cache(longest.as_ref()).is_some());
    for number in 1..16 {
        assert!(page.cache(format!("/{number}").as_ref()).is_some());
    }
    assert!(page.cache("/one-more".as_ref()).is_none());
    assert_eq!(counts(&page).caches.len(), 16);
}

#[test]
fn threads_count_in_one_cache_without_loss() {
    let page = std::sync::Arc::new(SharedPage::new().unwrap());
    let threads = [0; 4].map(|_| {
        let page = std::sync::Arc::clone(&page);
        std::thread::spawn(move || {
            for _ in 0..1_000 {
                page.cache("/cache/pages".as_ref()).unwrap().read(true);
            }
        })
    });
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(counts(&page).caches["pages"].hits, 4_000);
}
