//! The protobuf types and services that build.rs makes of proto/.
//!
//! Generated code, seen only by the conversion modules, the gRPC services and the client: nothing
//! below the wire knows it.
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::nursery)]

/// What clients speak.
pub mod v1 {
    tonic::include_proto!("counterfoil.v1");
}

/// What the nodes of a cluster speak among themselves.
pub mod raft {
    /// The first version.
    pub mod v1 {
        tonic::include_proto!("counterfoil.raft.v1");
    }
}

/// Every .proto file, encoded as a `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("counterfoil");
