//! Every file of every committed corpus passes its target: what exploration once found stays fixed.

use std::fs;
use std::path::Path;

#[test]
fn every_corpus_file_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in fuzz::TARGETS {
        let mut files = 0;
        let folder = corpus.join(name);
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("the corpus can be listed").path();
            // A failing target panics without naming its input; this line does, in its output.
            println!("{}", path.display());
            target(&fs::read(&path).expect("the corpus can be read"));
            files += 1;
        }
        assert!(files > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("there is a corpus") {
        let name = entry.expect("the corpus can be listed").file_name();
        assert!(fuzz::TARGETS.iter().any(|(target, _)| name == *target), "{name:?} has no target");
    }
}
