//! Writes sound encodings into the corpus of every target, for the fuzzer to begin with.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    for decoder in counterfoil::fuzzing::DECODERS {
        let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "corpus", decoder.name].iter().collect();
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (decoder.seeds)().into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
