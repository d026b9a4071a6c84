use std::fs;
use std::path::PathBuf;

use super::*;

const SECOND: u64 = 1_000_000;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lowmem-cache-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self, size: u64) -> Store {
        self.owned(size, "").unwrap()
    }

    fn owned(&self, size: u64, owner: &str) -> Result<Store, OpenError> {
        let owner = owner.to_owned();
        Store::open(&self.0, Settings { size, owner })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn record<'a>(key: &'a [u8], value: &'a [u8], written: u64) -> Record<'a> {
    Record {
        written,
        expires: 0,
        stale: 0,
        kind: Kind::Bytes,
        key,
        tag: &[],
        value,
    }
}

fn put(store: &mut Store, key: &[u8], value: &[u8], now: u64) {
    let written = store.set(&record(key, value, now));
    assert!(matches!(written, Write::Stored), "{written:?}");
}

fn value(store: &mut Store, key: &[u8], now: u64) -> Option<Vec<u8>> {
    let found = store.get(key, now, false)?;
    let value = found.record()?.value.to_vec();
    store.give_back(found);
    Some(value)
}

/// A generator of numbers that is the same in every run.
fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn a_value_is_found_by_every_process_until_it_is_replaced_or_deleted() {
    let folder = Folder::new("found");
    let (mut one, mut two) = (folder.open(1 << 20), folder.open(1 << 20));
    put(&mut one, b"key", b"first", 1);
    assert_eq!(value(&mut two, b"key", 2).unwrap(), b"first");
    put(&mut two, b"key", b"second", 3);
    assert_eq!(value(&mut one, b"key", 4).unwrap(), b"second");
    assert!(one.delete(b"key", 5));
    assert!(!two.delete(b"key", 6));
    assert_eq!(value(&mut two, b"key", 6), None);
}

#[test]
fn expiry_is_exact_and_a_stale_value_is_shown_only_on_request() {
    let folder = Folder::new("expiry");
    let mut store = folder.open(1 << 20);
    let lasting = Record {
        expires: 10 * SECOND,
        stale: 5,
        ..record(b"k", b"v", 0)
    };
    assert!(matches!(store.set(&lasting), Write::Stored));
    assert!(store.get(b"k", 10 * SECOND - 1, false).is_some());
    assert!(store.get(b"k", 10 * SECOND, false).is_none());
    assert!(store.get(b"k", 15 * SECOND - 1, true).is_some());
    assert!(store.get(b"k", 15 * SECOND, true).is_none());
    assert!(!store.touch(b"k", 11 * SECOND, 30 * SECOND, 0));
    assert!(matches!(store.set(&lasting), Write::Stored));
    assert!(store.touch(b"k", SECOND, 30 * SECOND, 0));
    assert!(store.get(b"k", 29 * SECOND, false).is_some());
}

#[test]
fn add_and_increment_depend_on_what_is_there() {
    let folder = Folder::new("add");
    let mut store = folder.open(1 << 20);
    assert!(matches!(
        store.add(&record(b"a", b"1", 1)),
        Added::Written(Write::Stored)
    ));
    assert!(matches!(
        store.add(&record(b"a", b"2", 2)),
        Added::Unchanged
    ));
    assert_eq!(value(&mut store, b"a", 3).unwrap(), b"1");
    assert!(matches!(
        store.increment(&record(b"n", b"", 4), 2, None),
        Added::Unchanged
    ));
    assert!(matches!(
        store.increment(&record(b"n", b"", 5), 2, Some(40)),
        Added::Number(42)
    ));
    assert!(matches!(
        store.increment(&record(b"n", b"", 6), -2, None),
        Added::Number(40)
    ));
    assert!(matches!(
        store.increment(&record(b"a", b"", 7), 1, Some(0)),
        Added::Unchanged
    ));
    assert!(matches!(
        store.increment(&record(b"n", b"", 8), i64::MAX, None),
        Added::Unchanged
    ));
}

#[test]
fn an_evicted_tag_takes_what_was_stored_before_and_nothing_else() {
    let folder = Folder::new("tags");
    let mut store = folder.open(1 << 20);
    let tagged = |key, tag, now| Record {
        tag,
        ..record(key, b"v", now)
    };
    for (key, tag) in [(b"a", b"red"), (b"b", b"red"), (b"c", b"tan")] {
        assert!(matches!(store.set(&tagged(key, tag, 1)), Write::Stored));
    }
    assert!(matches!(store.evict(b"red", 2), Write::Stored));
    assert_eq!(value(&mut store, b"a", 3), None);
    assert_eq!(value(&mut store, b"b", 3), None);
    assert!(value(&mut store, b"c", 3).is_some());
    assert!(matches!(store.set(&tagged(b"a", b"red", 4)), Write::Stored));
    assert!(value(&mut store, b"a", 5).is_some());
    assert_eq!(
        store.keys(0, 5).0.len() + store.keys(0, 5).1.map_or(0, |at| store.keys(at, 5).0.len()),
        2
    );
}

#[test]
fn the_disk_never_holds_more_than_the_size_and_what_is_read_stays() {
    let folder = Folder::new("size");
    let size = 4 << 20;
    let mut store = folder.open(size);
    put(&mut store, b"hot", b"kept", 0);
    let large = vec![7; 1500];
    for number in 0..20_000u64 {
        put(&mut store, &number.to_le_bytes(), &large, number);
        if number % 100 == 0 {
            assert_eq!(
                value(&mut store, b"hot", number).as_deref(),
                Some(&b"kept"[..]),
                "{number}"
            );
        }
        if number % 1000 == 0 {
            let disk = store.stats().disk;
            assert!(disk <= size, "{disk} of {size}");
        }
    }
    assert!(value(&mut store, &0u64.to_le_bytes(), 1).is_none());
    assert!(value(&mut store, &19_999u64.to_le_bytes(), 1).is_some());
    assert!(fs::read_dir(&folder.0).unwrap().count() < 90);
}

#[test]
fn a_value_that_is_too_large_is_not_kept() {
    let folder = Folder::new("large");
    let mut store = folder.open(1 << 20);
    let largest = vec![1; 100 << 10];
    put(&mut store, b"fits", &largest, 1);
    assert_eq!(value(&mut store, b"fits", 2).unwrap(), largest);
    let larger = vec![1; 200 << 10];
    assert!(matches!(
        store.set(&record(b"no", &larger, 3)),
        Write::TooLarge
    ));
}

#[test]
fn clearing_empties_it_for_a_process_that_has_old_files_open() {
    let folder = Folder::new("clear");
    let (mut one, mut two) = (folder.open(1 << 20), folder.open(1 << 20));
    put(&mut one, b"a", b"1", 1);
    put(&mut two, b"b", b"2", 1);
    one.clear().unwrap();
    assert_eq!(value(&mut two, b"a", 2), None);
    put(&mut two, b"b", b"3", 3);
    assert_eq!(value(&mut one, b"b", 4).unwrap(), b"3");
    assert_eq!(one.stats().entries, 1);
}

#[test]
fn a_directory_of_another_application_or_user_is_refused() {
    let folder = Folder::new("foreign");
    drop(folder.owned(1 << 20, "shop").unwrap());
    assert!(matches!(
        folder.owned(1 << 20, "blog"),
        Err(OpenError::Foreign { .. })
    ));
    assert!(folder.owned(1 << 20, "").is_ok());
    assert!(folder.owned(1 << 20, "shop").is_ok());
    assert!(matches!(
        folder.owned(1 << 10, ""),
        Err(OpenError::TooSmall { .. })
    ));
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(
        folder.owned(1 << 20, "shop"),
        Err(OpenError::NotPrivate { .. })
    ));
}

#[test]
fn a_lease_is_held_once_and_ends_with_its_holder() {
    let folder = Folder::new("lease");
    let (mut one, mut two) = (folder.open(1 << 20), folder.open(1 << 20));
    let held = one.lease(b"k").unwrap().unwrap();
    assert!(two.lease(b"k").unwrap().is_none());
    assert!(two.lease(b"other").unwrap().is_some());
    drop(held);
    assert!(two.lease(b"k").unwrap().is_some());
    assert_eq!(fs::read_dir(folder.0.join("leases")).unwrap().count(), 0);
}

#[test]
fn broken_files_are_misses_and_never_another_value() {
    let folder = Folder::new("broken");
    let mut seed = 7;
    for round in 0..60u64 {
        let mut store = folder.open(1 << 20);
        for key in 0..200u64 {
            put(
                &mut store,
                &key.to_le_bytes(),
                &(key * 3).to_le_bytes().repeat(20),
                round,
            );
        }
        let files: Vec<_> = fs::read_dir(&folder.0)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        let files: Vec<_> = files.into_iter().filter(|path| path.is_file()).collect();
        let path = &files[random(&mut seed) as usize % files.len()];
        let mut bytes = fs::read(path).unwrap();
        if round % 3 == 0 {
            bytes.truncate(random(&mut seed) as usize % (bytes.len() + 1));
        } else if !bytes.is_empty() {
            for _ in 0..40 {
                let at = random(&mut seed) as usize % bytes.len();
                bytes[at] ^= 1 << (random(&mut seed) % 8);
            }
        }
        fs::write(path, bytes).unwrap();
        for key in 0..200u64 {
            if let Some(found) = value(&mut store, &key.to_le_bytes(), round + 1) {
                assert_eq!(found, (key * 3).to_le_bytes().repeat(20));
            }
            let _ = store.mend().unwrap();
        }
        put(&mut store, b"after", b"works", round);
        assert_eq!(value(&mut store, b"after", round).unwrap(), b"works");
        drop(store);
        let _ = fs::write(folder.0.join("settings"), "size 1048576\nowner \n");
    }
}

#[test]
fn a_directory_that_was_removed_is_made_anew() {
    let folder = Folder::new("removed");
    let mut store = folder.open(1 << 20);
    put(&mut store, b"a", b"1", 1);
    fs::remove_dir_all(&folder.0).unwrap();
    let large = vec![1; 60 << 10];
    for key in 0..3u8 {
        let _ = store.set(&record(&[key], &large, 2));
    }
    assert!(store.mend().unwrap());
    put(&mut store, b"a", b"2", 3);
    assert_eq!(value(&mut store, b"a", 4).unwrap(), b"2");
}

#[test]
fn the_newest_value_wins_against_a_model_in_a_random_walk_of_two_processes() {
    let folder = Folder::new("walk");
    let mut stores = [folder.open(1 << 20), folder.open(1 << 20)];
    let mut model = std::collections::HashMap::new();
    let mut seed = 99;
    for now in 1..20_000u64 {
        let store = &mut stores[random(&mut seed) as usize % 2];
        let key = (random(&mut seed) % 500).to_le_bytes();
        match random(&mut seed) % 10 {
            0 => {
                store.delete(&key, now);
                model.remove(&key);
            }
            1..=4 => {
                let new = now
                    .to_le_bytes()
                    .repeat(1 + random(&mut seed) as usize % 30);
                put(store, &key, &new, now);
                model.insert(key, new);
            }
            _ => {
                let found = value(store, &key, now);
                // A miss is always allowed; a value only if it is the newest.
                assert!(
                    found.is_none() || found.as_ref() == model.get(&key),
                    "{now}"
                );
            }
        }
    }
    let kept = model.iter().filter(|(key, expected)| {
        value(&mut stores[0], &key[..], u64::MAX).as_ref() == Some(*expected)
    });
    assert!(kept.count() * 10 > model.len() * 9);
}

#[test]
fn what_a_cache_takes_of_the_disk_is_seen_from_outside() {
    let folder = Folder::new("use");
    assert_eq!(disk_use(&folder.0), None);
    let mut store = folder.open(4 << 20);
    let (before, size) = disk_use(&folder.0).unwrap();
    assert_eq!(size, 4 << 20);
    for key in 0..64u32 {
        put(&mut store, &key.to_le_bytes(), &[7; 8 << 10], SECOND);
    }
    let (after, _) = disk_use(&folder.0).unwrap();
    assert!(after >= before + ((64 * 8) << 10), "{before} {after}");
}
