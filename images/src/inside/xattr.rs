//! Which extended attributes of an archive reach the disk.

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is set.
    Keep,
    /// It is left out: it means nothing here, or nobody without privilege may set it.
    Drop,
    /// The image is refused.
    Refuse,
}

/// Decides by name.
pub(crate) fn fate(name: &[u8]) -> Fate {
    // overlayfs reads these from the layers of an instance: an image that brings its own could make
    // it show files from elsewhere.
    if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
        return Fate::Refuse;
    }
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => {
            Fate::Keep
        }
        _ if name.starts_with(b"user.") && name.len() > 5 => Fate::Keep,
        _ => Fate::Drop,
    }
}

/// Why an attribute that [`fate`] refuses is refused.
pub(crate) fn refusal(name: &[u8]) -> String {
    format!(
        "its extended attribute {} belongs to overlayfs and must not come from an image: make the \
         image from the merged view of the filesystem",
        sc_api::quoted(&String::from_utf8_lossy(name))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_attributes_are_refused_labels_dropped_capabilities_kept() {
        assert_eq!(fate(b"trusted.overlay.redirect"), Fate::Refuse);
        assert_eq!(fate(b"user.overlay.opaque"), Fate::Refuse);
        assert_eq!(fate(b"security.selinux"), Fate::Drop);
        assert_eq!(fate(b"trusted.other"), Fate::Drop);
        assert_eq!(fate(b"security.capability"), Fate::Keep);
        assert_eq!(fate(b"system.posix_acl_default"), Fate::Keep);
        assert_eq!(fate(b"user.note"), Fate::Keep);
    }
}
