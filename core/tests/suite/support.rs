//! What the tests share: rows on their way into bytes and JSON and back.

use larder_core::dialect::json::Json;
use larder_core::packed::{Bound, PackedBuf, PackedRow, Shape, parse_body, write_body};
use larder_core::{Error, Model, Result, Row, Schema, Serdes};

/// The id of the shape in every packed row.
pub(crate) const SHAPE: u16 = 7;

/// The stored form of a row.
pub(crate) fn pack<M: Model>(model: &M) -> Vec<u8> {
    let mut body = Vec::new();
    write_body(&mut body, M::schema(), SHAPE, model).expect("a model can be stored");
    body
}

/// The stored form, under the shape `id`, of the row that was kept of `body`.
pub(crate) fn repack<M: Model>(body: &[u8], bound: Bound, id: u16) -> Vec<u8> {
    let (_, layout) = parse_body(body).expect("a layout");
    let kept = PackedBuf::new(body, layout, bound.into()).expect("a row");
    let mut again = Vec::new();
    write_body(&mut again, M::schema(), id, &kept).expect("a row can be stored again");
    again
}

/// How today's `schema` reads rows that `written_by` wrote, after the shape itself has been stored and read back.
pub(crate) fn bound(written_by: &Schema, schema: &'static Schema) -> Bound {
    let shape = Shape::of(written_by).expect("a shape");
    let stored = serde_json::to_string(&shape).expect("a shape as text");
    Bound::new(&serde_json::from_str(&stored).expect("a stored shape"), schema)
}

/// Lends the row that is stored in `body`.
pub(crate) fn lend<T>(body: &[u8], bound: &Bound, f: impl FnOnce(&dyn Row) -> T) -> Result<T> {
    let (_, layout) = parse_body(body)?;
    Ok(f(&PackedRow::new(body, layout, bound)?))
}

/// Reads what an older version of a model wrote.
pub(crate) fn unpack<Then: Model, Now: Model>(body: &[u8]) -> Result<Now> {
    lend(body, &bound(Then::schema(), Now::schema()), |row| Now::from_row(row))?
}

/// What the model is as JSON.
pub(crate) fn to_json<M: Model>(model: &M) -> serde_json::Value {
    Json.encode(M::schema(), model).expect("a model as JSON")
}

/// What the JSON is as a model.
pub(crate) fn from_json<M: Model>(json: &serde_json::Value) -> Result<M> {
    M::from_row(&Json.decode(M::schema(), json)?.record)
}

/// The error of a result that is none, as its text.
#[track_caller]
pub(crate) fn refusal<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error,
    }
}
