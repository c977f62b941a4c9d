//! Generates the Rust types from the `.proto` files, without `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

/// A file of each package that a server offers by reflection, and the name its descriptors are kept under.
const SERVICES: [(&str, &str); 2] = [
    ("counterfoil/write/v1/write_service.proto", "write.bin"),
    ("counterfoil/read/v1/read_service.proto", "read.bin"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for (file, descriptors) in SERVICES {
        // Written by the compiler itself: a decoded and re-encoded set would lose options that it does not know.
        fs::write(out.join(descriptors), compiler(&[file])?.encode_file_descriptor_set())?;
    }
    let all = compiler(&SERVICES.map(|(file, _)| file))?;
    fs::write(out.join("counterfoil.bin"), all.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(all.file_descriptor_set())?;
    println!("cargo::rerun-if-changed=counterfoil");
    println!("cargo::rerun-if-changed=google");
    Ok(())
}

fn compiler(files: &[&str]) -> Result<protox::Compiler, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true).open_files(files)?;
    Ok(compiler)
}
