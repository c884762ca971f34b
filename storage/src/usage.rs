//! What volumes take and pools have.

/// What a volume takes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes allocated, hard links counted once.
    pub bytes: u64,
    /// Files, directories and other entries.
    pub entries: u64,
}

/// What a pool's file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes taken, by whatever lies there.
    pub used_bytes: u64,
    /// Inodes in all; 0 where the file system makes them as needed.
    pub total_inodes: u64,
    /// Inodes taken.
    pub used_inodes: u64,
}
