//! The fuzz targets hold for the committed corpus.

use bellwether_tests::fuzz::TARGETS;

#[test]
fn fuzz_corpus_holds() {
    for (name, target) in TARGETS {
        let folder = format!("{}/../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let entries = std::fs::read_dir(&folder).expect("each target has a corpus");
        let mut count = 0;
        for entry in entries {
            let file = entry.expect("the folder can be read").path();
            println!("{}", file.display());
            target(&std::fs::read(&file).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "{folder} is empty");
    }
}
