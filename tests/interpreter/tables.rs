//! Tables, as far as the official files of memories have any: indirect calls, and the bulk
//! instructions that stand beside those of memories in one file.
//!
//! Law: they are the interpreter's own; the daemon has nothing to do with them.

use wasmparser::{Operator, TableType};

use crate::numeric::pop;
use crate::store::{Instance, Store};
use crate::value::{Stop, Value};

/// A table of the store's.
pub(crate) struct Table {
    pub(crate) of: TableType,
    pub(crate) elements: Vec<Value>,
}

const BEYOND: Stop = Stop::Trap("out of bounds table access");

/// The places of a range, where all of them are there.
fn range<T>(all: &[T], begin: u32, length: u32) -> Result<std::ops::Range<usize>, Stop> {
    let (begin, length) = (begin as usize, length as usize);
    let end = begin.checked_add(length).filter(|end| *end <= all.len()).ok_or(BEYOND)?;
    Ok(begin..end)
}

impl Table {
    /// Puts elements in place, all or none.
    pub(crate) fn init(&mut self, begin: u32, elements: &[Value]) -> Result<(), Stop> {
        let length = u32::try_from(elements.len()).map_err(Stop::fault)?;
        let place = range(&self.elements, begin, length)?;
        self.elements[place].copy_from_slice(elements);
        Ok(())
    }
}

/// Carries a table instruction out; false where it is none.
pub(crate) fn table(
    tables: &mut [Table],
    instance: &mut Instance,
    operator: &Operator<'_>,
    stack: &mut Vec<Value>,
) -> Result<bool, Stop> {
    match operator {
        Operator::TableInit { elem_index, table } => {
            let [length, source, destination] = [(); 3].map(|()| pop::<u32>(stack));
            let segment = &instance.elements[*elem_index as usize];
            let elements = segment[range(segment, source, length)?].to_vec();
            tables[instance.tables[*table as usize]].init(destination, &elements)?;
        }
        Operator::ElemDrop { elem_index } => instance.elements[*elem_index as usize].clear(),
        Operator::TableCopy { dst_table, src_table } => {
            let [length, source, destination] = [(); 3].map(|()| pop::<u32>(stack));
            let from = &tables[instance.tables[*src_table as usize]].elements;
            let elements = from[range(from, source, length)?].to_vec();
            tables[instance.tables[*dst_table as usize]].init(destination, &elements)?;
        }
        Operator::TableGet { table } => {
            let from = &tables[instance.tables[*table as usize]].elements;
            let place = range(from, pop(stack), 1)?;
            stack.push(from[place.start]);
        }
        Operator::TableSize { table } => {
            let length = tables[instance.tables[*table as usize]].elements.len();
            stack.push(Value::I32(u32::try_from(length).map_err(Stop::fault)?));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl Store {
    /// The function that an indirect call means.
    pub(crate) fn called_indirectly(
        &self,
        instance: usize,
        type_index: u32,
        table_index: u32,
        place: u32,
    ) -> Result<usize, Stop> {
        let instance = &self.instances[instance];
        let table = &self.tables[instance.tables[table_index as usize]];
        match table.elements.get(place as usize) {
            None => Err(Stop::Trap("undefined element")),
            Some(Value::Func(Some(function))) => {
                if self.functions[*function].of == instance.types[type_index as usize] {
                    Ok(*function)
                } else {
                    Err(Stop::Trap("indirect call type mismatch"))
                }
            }
            Some(_) => Err(Stop::Trap("uninitialized element")),
        }
    }
}
