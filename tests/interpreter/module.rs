//! A module, validated and read.
//!
//! Law: nothing is read of a module that did not validate. Its bytes are kept for the rest of the
//! process, so that instructions can be had as wasmparser gives them; a test ends soon.

use std::sync::Arc;

use wasmparser::{
    ConstExpr, DataKind, ElementItems, ElementKind, ExternalKind, FuncType, GlobalType, MemoryType,
    Operator, OperatorsReader, Parser, Payload, TableType, TypeRef, ValType, Validator,
    WasmFeatures,
};

use crate::access::Access;

/// What a module consists of.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) types: Vec<FuncType>,
    pub(crate) imports: Vec<Import>,
    /// By type.
    pub(crate) functions: Vec<u32>,
    pub(crate) tables: Vec<TableType>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) globals: Vec<(GlobalType, Arc<Body>)>,
    pub(crate) exports: Vec<(&'static str, ExternalKind, u32)>,
    pub(crate) start: Option<u32>,
    pub(crate) elements: Vec<Elements>,
    pub(crate) data: Vec<Data>,
    pub(crate) bodies: Vec<Arc<Body>>,
}

pub(crate) struct Import {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) of: TypeRef,
}

/// Code, and where each of its blocks ends.
pub(crate) struct Body {
    pub(crate) locals: Vec<ValType>,
    pub(crate) code: Vec<Instruction>,
    /// Beside each block, loop and if, its end; beside an else, that of its if.
    pub(crate) ends: Vec<usize>,
    /// Beside each if that has one, its else.
    pub(crate) elses: Vec<Option<usize>>,
}

pub(crate) enum Instruction {
    Access(Access),
    Plain(Operator<'static>),
}

pub(crate) struct Elements {
    pub(crate) items: Vec<Arc<Body>>,
    pub(crate) is_passive: bool,
    /// Of an active one: its table and offset.
    pub(crate) active: Option<(u32, Arc<Body>)>,
}

pub(crate) struct Data {
    pub(crate) bytes: &'static [u8],
    /// Of an active one: its memory and offset.
    pub(crate) active: Option<(u32, Arc<Body>)>,
}

/// Whether a module is one, and a valid one.
pub(crate) fn validate(bytes: &[u8], features: WasmFeatures) -> Result<(), String> {
    let validated = Validator::new_with_features(features).validate_all(bytes);
    validated.map(drop).map_err(|error| error.to_string())
}

impl Module {
    /// Validates and reads it.
    pub(crate) fn read(bytes: Vec<u8>, features: WasmFeatures) -> Result<Self, String> {
        validate(&bytes, features)?;
        Self::of(bytes.leak()).map_err(|error| error.to_string())
    }

    fn of(bytes: &'static [u8]) -> wasmparser::Result<Self> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            module.add(payload?, bytes)?;
        }
        Ok(module)
    }

    fn add(&mut self, payload: Payload<'static>, bytes: &'static [u8]) -> wasmparser::Result<()> {
        let constant = |expression: &ConstExpr<'static>| {
            Body::of(Vec::new(), expression.get_operators_reader(), bytes).map(Arc::new)
        };
        match payload {
            Payload::TypeSection(types) => {
                self.types = types.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let wasmparser::Import { module, name, ty: of } = import?;
                    self.imports.push(Import { module, name, of });
                }
            }
            Payload::FunctionSection(functions) => {
                self.functions = functions.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.tables.push(table?.ty);
                }
            }
            Payload::MemorySection(memories) => {
                self.memories = memories.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global?;
                    self.globals.push((global.ty, constant(&global.init_expr)?));
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.exports.push((export.name, export.kind, export.index));
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    let items = match segment.items {
                        ElementItems::Functions(places) => places
                            .into_iter()
                            .map(|place| place.map(Body::of_function).map(Arc::new))
                            .collect::<Result<_, _>>()?,
                        ElementItems::Expressions(_, expressions) => expressions
                            .into_iter()
                            .map(|expression| constant(&expression?))
                            .collect::<Result<_, _>>()?,
                    };
                    let is_passive = matches!(segment.kind, ElementKind::Passive);
                    let active = match &segment.kind {
                        ElementKind::Active { table_index, offset_expr } => {
                            Some((table_index.unwrap_or(0), constant(offset_expr)?))
                        }
                        ElementKind::Passive | ElementKind::Declared => None,
                    };
                    self.elements.push(Elements { items, is_passive, active });
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    let active = match &segment.kind {
                        DataKind::Active { memory_index, offset_expr } => {
                            Some((*memory_index, constant(offset_expr)?))
                        }
                        DataKind::Passive => None,
                    };
                    self.data.push(Data { bytes: segment.data, active });
                }
            }
            Payload::CodeSectionEntry(body) => {
                let mut locals = Vec::new();
                for local in body.get_locals_reader()? {
                    let (count, of) = local?;
                    locals.extend((0..count).map(|_| of));
                }
                let body = Body::of(locals, body.get_operators_reader()?, bytes)?;
                self.bodies.push(Arc::new(body));
            }
            Payload::Version { .. }
            | Payload::DataCountSection { .. }
            | Payload::CodeSectionStart { .. }
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            other => panic!("a section that is not known: {other:?}"),
        }
        Ok(())
    }
}

impl Body {
    fn of(
        locals: Vec<ValType>,
        operators: OperatorsReader<'static>,
        bytes: &'static [u8],
    ) -> wasmparser::Result<Self> {
        let mut code = Vec::new();
        for operator in operators.into_iter_with_offsets() {
            let (operator, at) = operator?;
            code.push(match Access::read(&bytes[at..]) {
                Some(access) => Instruction::Access(access),
                None => Instruction::Plain(operator),
            });
        }
        Ok(Self::paired(locals, code))
    }

    /// A constant expression: a reference to this function.
    fn of_function(function_index: u32) -> Self {
        let code = [Operator::RefFunc { function_index }, Operator::End];
        Self::paired(Vec::new(), code.into_iter().map(Instruction::Plain).collect())
    }

    /// Finds each block's end.
    fn paired(locals: Vec<ValType>, code: Vec<Instruction>) -> Self {
        let (mut ends, mut elses) = (vec![0; code.len()], vec![None; code.len()]);
        let mut open = Vec::new();
        for (at, instruction) in code.iter().enumerate() {
            let Instruction::Plain(operator) = instruction else { continue };
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    open.push(at);
                }
                Operator::Else => elses[open[open.len() - 1]] = Some(at),
                Operator::End => {
                    // The last end is the body's own.
                    if let Some(begin) = open.pop() {
                        ends[begin] = at;
                        if let Some(other) = elses[begin] {
                            ends[other] = at;
                        }
                    }
                }
                _ => {}
            }
        }
        Self { locals, code, ends, elses }
    }
}
