//! One page between guards, made, touched and given back: linmemd's slab beside wasmtime's pooling
//! allocator.
//!
//! Law: everything is measured in the same process and minute, a round of each after the other, on
//! as many threads; what counts is the median of a round's ratios. wasmtime has no other door to its
//! pool than an instance in a store, so both are said: the whole of that, and what is left when the
//! same without a memory, measured in the same round, is taken off. The instance is linked before,
//! and its byte is stored by the host. Does not measure what code on either memory would cost.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports to a person")]

use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use clap::Parser;
use linmemd::memory::{GuardKind, Layout, LinearMemory, MmapAllocator, Plan, Sources};
use linmemd::model::{Form, Growth, Guard, IndexType, PageKind, Shape};
use linmemd::os::kernel::Linux;
use linmemd::os::{self, fault};
use linmemd::units::WasmPages;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, Store,
};

/// Compares a slab's memory with one of wasmtime's pooling allocator.
#[derive(Debug, Parser)]
#[command(name = "pooling")]
struct Arguments {
    /// Rounds that count; one more goes before them.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Memories that each thread makes in its part of a round.
    #[arg(long, default_value_t = 10_000)]
    memories: u32,
    /// Exit with 1 if any of linmemd's median ratios is above this: to the whole or the net, on one
    /// thread or two, however the pool is configured.
    #[arg(long)]
    at_most: Option<f64>,
    /// Given by `cargo bench`; means nothing.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A pool, as wasmtime comes or so that it gives nothing back to the kernel.
struct Pool {
    name: &'static str,
    with_memory: InstancePre<()>,
    without: InstancePre<()>,
}

/// Nanoseconds a memory, round for round.
#[derive(Default)]
struct Figures {
    slab: Vec<f64>,
    /// For each pool the whole, and the same without a memory.
    pools: Vec<(Vec<f64>, Vec<f64>)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(worst) if arguments.at_most.is_some_and(|most| worst > most) => {
            println!("\n{worst:.2} is above --at-most");
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pooling: {error:?}");
            ExitCode::from(2)
        }
    }
}

/// The highest of linmemd's median ratios.
fn run(arguments: &Arguments) -> wasmtime::Result<f64> {
    fault::install().map_err(|error| wasmtime::Error::msg(format!("{error:?}")))?;
    let pools = [
        pool("as it comes", &PoolingAllocationConfig::new())?,
        pool("kept resident", &kept_resident())?,
    ];
    let allocator = match MmapAllocator::new(Arc::new(Linux)) {
        (allocator, None) => allocator,
        (_, Some(error)) => return Err(wasmtime::Error::msg(format!("no slabs: {error:?}"))),
    };
    println!(
        "One page of 64 KiB between guards: made, one byte written, given back. ns each, medians of\n\
         {} rounds of {} a thread; ratios are linmemd's to wasmtime's, medians of the rounds' own.\n\
         whole     a store and an instance with the memory, linked before: pre.instantiate\n\
         net       the same less a store and an instance without a memory\n\
         as it comes    PoolingAllocationConfig::new(): a page given back is the kernel's to clear\n\
         kept resident  linear_memory_keep_resident(64 KiB) and, where there is one, pagemap_scan\n",
        arguments.rounds, arguments.memories
    );
    let mut worst: f64 = 0.0;
    for threads in [1, 2] {
        let mut figures =
            Figures { pools: vec![Default::default(); pools.len()], ..Figures::default() };
        for round in 0..=arguments.rounds {
            let measure = |work: &(dyn Fn() + Sync)| each(threads, arguments.memories, work);
            let slab = measure(&|| slab(&allocator));
            let rest: Vec<(f64, f64)> = pools
                .iter()
                .map(|pool| {
                    let whole = measure(&|| instance(&pool.with_memory, true));
                    (whole, measure(&|| instance(&pool.without, false)))
                })
                .collect();
            if round > 0 {
                figures.slab.push(slab);
                for (kept, (whole, without)) in figures.pools.iter_mut().zip(rest) {
                    kept.0.push(whole);
                    kept.1.push(without);
                }
            }
        }
        worst = worst.max(report(threads, &pools, &figures));
    }
    Ok(worst)
}

fn report(threads: usize, pools: &[Pool], figures: &Figures) -> f64 {
    println!("{threads} thread{}", if threads == 1 { "" } else { "s" });
    println!("  {:<34}{:>9.0}", "linmemd, a slab", median(figures.slab.clone()));
    let mut worst: f64 = 0.0;
    for (pool, (whole, without)) in pools.iter().zip(&figures.pools) {
        let net: Vec<f64> = whole.iter().zip(without).map(|(whole, less)| whole - less).collect();
        for (what, theirs) in [("whole", whole), ("net", &net)] {
            let ratios = figures.slab.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
            let ratio = median(ratios.collect());
            worst = worst.max(ratio);
            let name = format!("wasmtime, {}, {what}", pool.name);
            println!("  {name:<34}{:>9.0}{ratio:>9.2}", median(theirs.clone()));
        }
    }
    worst
}

/// What linmemd does, through the doors that the daemon uses.
fn slab(allocator: &MmapAllocator) {
    let page = WasmPages::new(1).expect("one page");
    let shape = Shape {
        initial: page,
        maximum: page,
        index_type: IndexType::I32,
        growth: Growth::Allowed,
        guard: Guard::default(),
        form: Form::usual(),
    };
    let layout =
        Layout::of(&shape, PageKind::Base, os::host_page(&Linux)).expect("one page and two guards");
    let memory = LinearMemory::create(allocator, &layout, &|| true).expect("a slot");
    assert_eq!(memory.placed().guard, GuardKind::GuardInstall);
    let byte = Sources::from(bytes::Bytes::from_static(&[1]));
    let plan = Plan::write(0, &byte, page.bytes()).expect("byte 0 of a page");
    memory.apply(&plan).expect("no fault");
    memory.release().expect("a wiped slot");
}

/// What an embedder of wasmtime does.
fn instance(pre: &InstancePre<()>, has_memory: bool) {
    let mut store = Store::new(pre.module().engine(), ());
    let instance = pre.instantiate(&mut store).expect("a free slot");
    if has_memory {
        let memory = instance.get_memory(&mut store, "it").expect("the export");
        memory.data_mut(&mut store)[0] = 1;
    } else {
        let global = instance.get_global(&mut store, "it").expect("the export");
        global.set(&mut store, 1.into()).expect("a mutable one");
    }
}

fn pool(name: &'static str, pooling: &PoolingAllocationConfig) -> wasmtime::Result<Pool> {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling.clone()))
        .gc_support(false);
    let engine = Engine::new(&config)?;
    let link = |text: &str| Linker::new(&engine).instantiate_pre(&Module::new(&engine, text)?);
    Ok(Pool {
        name,
        with_memory: link("(module (memory (export \"it\") 1 1))")?,
        without: link("(module (global (export \"it\") (mut i32) (i32.const 0)))")?,
    })
}

fn kept_resident() -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::new();
    pooling.linear_memory_keep_resident(64 << 10).pagemap_scan(Enabled::Auto);
    pooling
}

/// Nanoseconds that one `work` takes on each of so many threads at once.
fn each(threads: usize, count: u32, work: &(dyn Fn() + Sync)) -> f64 {
    let start = Barrier::new(threads);
    let seconds: f64 = thread::scope(|scope| {
        let run = || {
            work();
            start.wait();
            let begun = Instant::now();
            for _ in 0..count {
                work();
            }
            begun.elapsed().as_secs_f64()
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    #[expect(clippy::cast_precision_loss, reason = "a count of threads")]
    let threads = threads as f64;
    seconds / threads * 1e9 / f64::from(count)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
