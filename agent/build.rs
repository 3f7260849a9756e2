//! Compiles the client of the gRPC contract, and notes the build time: the agent believes no clock that shows an earlier one.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../schemas/proto");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let files = protox::compile(["bellwether/v1/device.proto"], ["../schemas/proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .extern_path(".bellwether.v1", "::bellwether_schemas::wire::proto")
        .compile_fds(files)?;
    let built: u64 = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse()?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    println!("cargo::rustc-env=BELLWETHER_BUILT={built}");
    Ok(())
}
