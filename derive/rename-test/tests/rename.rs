//! The derived code does what it does elsewhere.

use larder_derive_rename_test::{Everything, Figure, Name, Part};
use pantry::dialect::json::Json;
use pantry::packed::{Bound, PackedRow, Shape, parse_body, write_body};
use pantry::{Model, Serdes, Uuid};

fn part() -> Part {
    Part { nested: Some(Name("n".into())), name: "p".into() }
}

fn sample() -> Everything {
    let figures = vec![Figure::Some { f: 1 }, Figure::Ok(part()), Figure::None];
    Everything::new(Uuid::from_u128(5), part(), figures)
}

#[test]
fn through_bytes_and_json() -> pantry::Result<()> {
    let (model, schema) = (sample(), Everything::schema());
    let mut body = Vec::new();
    write_body(&mut body, schema, 1, &model)?;
    let bound = Bound::new(&Shape::of(schema)?, schema);
    let (_, layout) = parse_body(&body)?;
    let row = PackedRow::new(&body, layout, &bound)?;
    assert_eq!(Everything::from_row(&row)?, model);
    assert_eq!(Everything::from_row(&Json.decode(schema, &Json.encode(schema, &model)?)?.record)?, model);
    assert!(Everything::cheap().into_predicate().matches(schema, &row)?);
    assert_eq!(model.fault(), None);
    Ok(())
}

#[test]
fn names_are_those_of_the_attributes() {
    let names: Vec<_> = Everything::schema().fields.iter().map(|field| field.name_in("json")).collect();
    assert_eq!(names, ["Id", "SelfName", "Value", "Row", "Price", "Part", "Figures"]);
    assert_eq!(Everything::SELF_NAME.position(), 1);
}
