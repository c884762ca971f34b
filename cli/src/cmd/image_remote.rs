//! The images of a remote that builds them when they are asked for. They have no files yet, and so
//! no fingerprint, size or date.

use anyhow::{Result, bail};
use sc_api::{Image, ImageAlias, Recipe, no_time};

use crate::remote::ImageName;
use crate::suggest;

/// All that the remote has.
pub fn all() -> Vec<Image> {
    Recipe::all().into_iter().map(image).collect()
}

/// The image of a name.
pub fn find(name: &ImageName) -> Result<Image> {
    let Some(recipe) = Recipe::find(&name.name) else {
        let asked = suggest::built(&name.name).map_or_else(String::new, |q| format!(" ({q})"));
        let (remote, name) = (name.remote.name, &name.name);
        bail!(
            "the remote {remote:?} has no image {name:?}; `sc image list {remote}:` shows what it \
             has{asked}"
        );
    };
    let mut image = image(recipe);
    image.update_source = Some(name.image_source());
    Ok(image)
}

fn image(recipe: Recipe) -> Image {
    let alias = |name| ImageAlias {
        name,
        description: String::new(),
        target: String::new(),
        alias_type: "container".into(),
    };
    let properties = [
        ("os", "Debian"),
        ("release", &recipe.codename),
        ("version", &recipe.version),
        ("variant", &recipe.variant),
        ("description", &recipe.description),
    ];
    Image {
        fingerprint: String::new(),
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        aliases: recipe.aliases.into_iter().map(alias).collect(),
        // The daemon builds for its own machine, which is this one.
        architecture: std::env::consts::ARCH.into(),
        auto_update: false,
        cached: false,
        created_at: no_time(),
        expires_at: no_time(),
        last_used_at: no_time(),
        uploaded_at: no_time(),
        filename: String::new(),
        public: true,
        size: 0,
        image_type: "container".into(),
        profiles: Vec::new(),
        update_source: None,
    }
}
