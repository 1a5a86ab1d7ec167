//! What a script has made: functions, tables, globals, instances, and memories of the daemon.
//!
//! Law: instantiation goes as the specification says: imports first, then element segments, then data
//! segments, each a memory.init and a data.drop of its own, then the start function. What came before
//! a trap stays.

use std::collections::HashMap;
use std::sync::Arc;

use wasmparser::{ExternalKind, FuncType, GlobalType};

use crate::calls::{Daemon, Memory};
use crate::link;
use crate::module::{Body, Module};
use crate::tables::Table;
use crate::value::{Stop, Value};

/// Everything that instances share.
pub(crate) struct Store {
    pub(crate) daemon: Daemon,
    pub(crate) functions: Vec<Function>,
    pub(crate) tables: Vec<Table>,
    pub(crate) globals: Vec<Global>,
    pub(crate) instances: Vec<Instance>,
    /// What modules may import, by the name it is registered under.
    pub(crate) registered: HashMap<String, Exports>,
    /// The memory that spectest exports.
    pub(crate) spare: Arc<Memory>,
    /// Calls that are under way.
    pub(crate) depth: usize,
}

pub(crate) type Exports = HashMap<String, Extern>;

/// What can be exported and imported.
#[derive(Clone, Debug)]
pub(crate) enum Extern {
    Function(usize),
    Table(usize),
    Memory(Arc<Memory>),
    Global(usize),
}

pub(crate) struct Function {
    pub(crate) of: FuncType,
    pub(crate) code: Code,
}

pub(crate) enum Code {
    Body {
        instance: usize,
        body: Arc<Body>,
    },
    /// Spectest's: it prints, and here it does not.
    Host,
}

pub(crate) struct Global {
    pub(crate) of: GlobalType,
    pub(crate) value: Value,
}

/// A module at work. Everything by its place in the store.
#[derive(Default)]
pub(crate) struct Instance {
    pub(crate) types: Vec<FuncType>,
    pub(crate) functions: Vec<usize>,
    pub(crate) tables: Vec<usize>,
    pub(crate) memories: Vec<Arc<Memory>>,
    pub(crate) globals: Vec<usize>,
    pub(crate) elements: Vec<Vec<Value>>,
    /// The daemon's names of its segments.
    pub(crate) data: Vec<String>,
    pub(crate) exports: Exports,
}

impl Instance {
    pub(crate) fn memory(&self, place: u32) -> Arc<Memory> {
        Arc::clone(&self.memories[place as usize])
    }
}

/// Why a module is no instance.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// In the specification's words.
    Unlinkable(&'static str),
    Stopped(Stop),
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl Store {
    /// Makes an instance; its place.
    pub(crate) fn instantiate(&mut self, module: &Module) -> Result<usize, Refusal> {
        let mut instance = Instance { types: module.types.clone(), ..Instance::default() };
        for import in &module.imports {
            match link::import(self, &module.types, import)? {
                Extern::Function(place) => instance.functions.push(place),
                Extern::Table(place) => instance.tables.push(place),
                Extern::Memory(memory) => instance.memories.push(memory),
                Extern::Global(place) => instance.globals.push(place),
            }
        }
        let own = self.instances.len();
        for (of, body) in module.functions.iter().zip(&module.bodies) {
            instance.functions.push(self.functions.len());
            let of = module.types[*of as usize].clone();
            let code = Code::Body { instance: own, body: Arc::clone(body) };
            self.functions.push(Function { of, code });
        }
        for of in &module.memories {
            instance.memories.push(self.daemon.create(of)?);
        }
        for of in &module.tables {
            instance.tables.push(self.tables.len());
            let null = Value::zero(wasmparser::ValType::Ref(of.element_type));
            let length = usize::try_from(of.initial).map_err(Stop::fault)?;
            self.tables.push(Table { of: *of, elements: vec![null; length] });
        }
        self.instances.push(instance);
        for (of, body) in &module.globals {
            let value = self.constant(own, body)?;
            self.instances[own].globals.push(self.globals.len());
            self.globals.push(Global { of: *of, value });
        }
        self.instances[own].exports = exports(module, &self.instances[own]);
        self.elements(own, module)?;
        self.data(own, module)?;
        if let Some(start) = module.start {
            let function = self.instances[own].functions[start as usize];
            self.call(function, Vec::new())?;
        }
        Ok(own)
    }

    fn elements(&mut self, own: usize, module: &Module) -> Result<(), Stop> {
        let mut segments = Vec::new();
        for segment in &module.elements {
            let items = segment.items.iter().map(|item| self.constant(own, item));
            segments.push(items.collect::<Result<Vec<_>, _>>()?);
        }
        self.instances[own].elements.clone_from(&segments);
        for (place, segment) in module.elements.iter().enumerate() {
            if let Some((table, offset)) = &segment.active {
                let offset = self.constant(own, offset)?.address();
                let table = self.instances[own].tables[*table as usize];
                let begin = u32::try_from(offset).map_err(Stop::fault)?;
                self.tables[table].init(begin, &segments[place])?;
            }
            if !segment.is_passive {
                self.instances[own].elements[place].clear();
            }
        }
        Ok(())
    }

    fn data(&mut self, own: usize, module: &Module) -> Result<(), Stop> {
        for segment in &module.data {
            let name = self.daemon.put(segment.bytes)?;
            self.instances[own].data.push(name);
        }
        for (place, segment) in module.data.iter().enumerate() {
            let Some((memory, offset)) = &segment.active else { continue };
            let destination = self.constant(own, offset)?.address();
            let memory = self.instances[own].memory(*memory);
            let name = self.instances[own].data[place].clone();
            self.daemon.count("memory.init");
            self.daemon.init(&memory, destination, &name, 0, segment.bytes.len() as u64)?;
            self.daemon.count("data.drop");
            self.instances[own].data[place] = self.daemon.drop_segment(&name)?;
        }
        Ok(())
    }
}

fn exports(module: &Module, instance: &Instance) -> Exports {
    let named = |(name, kind, index): &(&str, ExternalKind, u32)| {
        let index = *index as usize;
        let what = match kind {
            ExternalKind::Func => Extern::Function(instance.functions[index]),
            ExternalKind::Table => Extern::Table(instance.tables[index]),
            ExternalKind::Memory => Extern::Memory(Arc::clone(&instance.memories[index])),
            ExternalKind::Global => Extern::Global(instance.globals[index]),
            other => panic!("an export of a kind that is not known: {other:?}"),
        };
        ((*name).to_owned(), what)
    };
    module.exports.iter().map(named).collect()
}
