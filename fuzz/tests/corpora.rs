//! The corpora of the fuzz targets as tests, for compilers without libFuzzer.

use std::fs;
use std::path::Path;

use lowmem_serve_fuzz::TARGETS;

#[test]
fn every_target_keeps_its_promises_for_its_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let entries = fs::read_dir(folder.join(name)).expect(name);
        let mut files: Vec<_> = entries.map(|entry| entry.expect(name).path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        run(b"");
        for file in files {
            let bytes = fs::read(&file).expect(name);
            // A panic in a target says nothing of the file.
            println!("{}", file.display());
            run(&bytes);
        }
    }
}

#[test]
fn every_corpus_has_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(folder).expect("corpus") {
        let name = entry.expect("corpus").file_name();
        assert!(
            TARGETS.iter().any(|(target, _)| name == **target),
            "{name:?}"
        );
    }
}
