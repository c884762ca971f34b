//! The images of a remote that builds them when they are asked for. They have no files yet, and so
//! no fingerprint, size or date.

use sc_api::{Image, ImageAlias, Recipe, no_time};

use crate::remote::ImageName;

/// All that the remote has.
pub fn all() -> Vec<Image> {
    Recipe::all().into_iter().map(image).collect()
}

/// The image of a name; `None` where there is none.
pub fn find(name: &ImageName) -> Option<Image> {
    let mut image = image(Recipe::find(&name.name)?);
    image.update_source = Some(name.image_source());
    Some(image)
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
