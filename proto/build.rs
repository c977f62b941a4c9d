//! Generates the Rust types from the `.proto` files, without `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 2] =
    ["counterfoil/write/v1/write_service.proto", "counterfoil/read/v1/read_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    // Written by the compiler itself: a decoded and re-encoded set would lose options that it does not know.
    fs::write(out.join("counterfoil.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(compiler.file_descriptor_set())?;
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-changed=counterfoil");
    Ok(())
}
