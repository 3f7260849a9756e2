//! Compiles the service of the gRPC contract; its messages are those of `bellwether-schemas`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../schemas/proto");
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=migrations");
    let files = protox::compile(["bellwether/v1/device.proto"], ["../schemas/proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".bellwether.v1", "::bellwether_schemas::wire::proto")
        .compile_fds(files)?;
    Ok(())
}
