//! Imports: what is registered, spectest's own, and whether it fits.
//!
//! Law: a memory that is imported is the daemon's memory of whoever exports it; its size is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use wasmparser::{FuncType, GlobalType, MemoryType, RefType, TableType, TypeRef, ValType};

use crate::calls::Daemon;
use crate::module::Import;
use crate::store::{Code, Exports, Extern, Function, Global, Refusal, Store};
use crate::tables::Table;
use crate::value::{Stop, Value};

const UNKNOWN: Refusal = Refusal::Unlinkable("unknown import");
const UNFIT: Refusal = Refusal::Unlinkable("incompatible import type");

/// Finds what an import means.
pub(crate) fn import(
    store: &mut Store,
    types: &[FuncType],
    import: &Import,
) -> Result<Extern, Refusal> {
    let exports = store.registered.get(import.module);
    let found = exports.and_then(|exports| exports.get(import.name)).ok_or(UNKNOWN)?.clone();
    let fits = match (&found, &import.of) {
        (Extern::Function(place), TypeRef::Func(of)) => {
            store.functions[*place].of == types[*of as usize]
        }
        (Extern::Table(place), TypeRef::Table(of)) => {
            let Table { of: own, elements } = &store.tables[*place];
            own.element_type == of.element_type
                && own.table64 == of.table64
                && within((elements.len() as u64, own.maximum), (of.initial, of.maximum))
        }
        (Extern::Memory(memory), TypeRef::Memory(of)) => {
            let own = memory.of;
            own.memory64 == of.memory64 && own.shared == of.shared && {
                store.daemon.count("memory.size");
                let pages = store.daemon.size(memory)?;
                within((pages, own.maximum), (of.initial, of.maximum))
            }
        }
        (Extern::Global(place), TypeRef::Global(of)) => store.globals[*place].of == *of,
        _ => false,
    };
    if fits { Ok(found) } else { Err(UNFIT) }
}

/// Whether limits lie within those that are wanted.
fn within((least, most): (u64, Option<u64>), (wanted, limit): (u64, Option<u64>)) -> bool {
    let is_bounded = match (most, limit) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(most), Some(limit)) => most <= limit,
    };
    least >= wanted && is_bounded
}

impl Store {
    /// One in which there is spectest only.
    pub(crate) fn new(mut daemon: Daemon) -> Result<Self, Stop> {
        let memory = |shared| MemoryType {
            memory64: false,
            shared,
            initial: 1,
            maximum: Some(2),
            page_size_log2: None,
        };
        let (spare, shared) = (daemon.create(&memory(false))?, daemon.create(&memory(true))?);
        let mut store = Self {
            daemon,
            functions: Vec::new(),
            tables: Vec::new(),
            globals: Vec::new(),
            instances: Vec::new(),
            registered: HashMap::new(),
            spare: Arc::clone(&spare),
            depth: 0,
        };
        let mut exports = Exports::new();
        exports.insert("memory".to_owned(), Extern::Memory(spare));
        exports.insert("shared_memory".to_owned(), Extern::Memory(shared));
        store.spectest(&mut exports);
        store.registered.insert("spectest".to_owned(), exports);
        Ok(store)
    }

    fn spectest(&mut self, exports: &mut Exports) {
        use ValType::{F32, F64, I32, I64};
        let functions: [(&str, &[ValType]); 7] = [
            ("print", &[]),
            ("print_i32", &[I32]),
            ("print_i64", &[I64]),
            ("print_f32", &[F32]),
            ("print_f64", &[F64]),
            ("print_i32_f32", &[I32, F32]),
            ("print_f64_f64", &[F64, F64]),
        ];
        for (name, parameters) in functions {
            exports.insert(name.to_owned(), Extern::Function(self.functions.len()));
            let of = FuncType::new(parameters.iter().copied(), []);
            self.functions.push(Function { of, code: Code::Host });
        }
        let globals = [
            ("global_i32", I32, Value::I32(666)),
            ("global_i64", I64, Value::I64(666)),
            ("global_f32", F32, Value::F32(666.6_f32.to_bits())),
            ("global_f64", F64, Value::F64(666.6_f64.to_bits())),
        ];
        for (name, content_type, value) in globals {
            exports.insert(name.to_owned(), Extern::Global(self.globals.len()));
            let of = GlobalType { content_type, mutable: false, shared: false };
            self.globals.push(Global { of, value });
        }
        for (name, table64) in [("table", false), ("table64", true)] {
            exports.insert(name.to_owned(), Extern::Table(self.tables.len()));
            let of = TableType {
                element_type: RefType::FUNCREF,
                table64,
                initial: 10,
                maximum: Some(20),
                shared: false,
            };
            self.tables.push(Table { of, elements: vec![Value::Func(None); 10] });
        }
    }
}
