//! Rows of another shape on the wire that stand within others.

use larder::{Memory, Model, One, Repository, Rest, Select};
use larder_stubs::{Collection, Stubs};
use serde_json::json;

use super::here;

#[derive(Model, Clone, Debug, PartialEq)]
struct Parcel {
    #[model(key)]
    id: u32,
    to: One<Place>,
}

#[derive(Model, Clone, Debug, PartialEq)]
#[model(json(via = "Wire"))]
struct Place {
    #[model(key)]
    name: String,
    north: f64,
    east: f64,
}

/// How the server writes a place.
#[derive(serde::Serialize, serde::Deserialize)]
struct Wire {
    title: String,
    at: [f64; 2],
}

impl From<&Place> for Wire {
    fn from(Place { name, north, east }: &Place) -> Self {
        Self { title: name.clone(), at: [*north, *east] }
    }
}

impl TryFrom<Wire> for Place {
    type Error = String;

    fn try_from(Wire { title, at: [north, east] }: Wire) -> Result<Self, String> {
        if title.is_empty() {
            Err("a place has a title".into())
        } else {
            Ok(Self { name: title, north, east })
        }
    }
}

async fn repo(to: serde_json::Value) -> Repository {
    let stubs = Stubs::new().collection(Collection::at("parcels").rows([json!({ "id": 1, "to": to })]));
    let rest = Rest::at("https://api.example.com").transport(stubs);
    let builder = Repository::builder().store(Memory::new()).remote(rest);
    builder.model::<Parcel>().model::<Place>().build().await.unwrap()
}

// Rules: m-assoc-remote, m-via
#[tokio::test]
async fn a_row_of_another_shape_stands_in_another_as_by_itself() {
    let repo = repo(json!({ "title": "Oslo", "at": [59.9, 10.7], "extra": true })).await;
    let parcels = repo.get(Select::<Parcel>::all()).await.unwrap();
    assert_eq!(parcels[0].to.id(), "Oslo");
    assert_eq!(here::<Place>(&repo).await, [Place { name: "Oslo".into(), north: 59.9, east: 10.7 }]);
}

// Rules: m-assoc-remote, m-via
#[tokio::test]
async fn one_that_its_conversion_refuses_is_an_error_that_names_its_place() {
    let repo = repo(json!({ "title": "", "at": [0, 0] })).await;
    let error = repo.get(Select::<Parcel>::all()).await.unwrap_err();
    assert!(error.to_string().contains("a place has a title"), "{error}");
    assert!(error.path().is_some_and(|path| path.ends_with(".to")), "{error}");
    assert!(here::<Parcel>(&repo).await.is_empty());
}
