//! The responder remembers its answers, and what it remembers is what it would find out again.

#[path = "support/world.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod world;

use mitogen_importer::{Answer, Dialect, ModuleName, Output, Policy, Responder};
use mitogen_wire::ContextId;
use world::{World, modules};

const SOURCES: &[(&str, &[&str])] = &[
    ("shop", &["from . import base\nimport stock\n", "import stock\n", "from . import base, absent\n"]),
    ("shop.base", &["import stock.unit\n", "try:\n    import simplejson\nexcept ImportError:\n    pass\n"]),
    ("shop.db", &["from shop import base\n", ""]),
    ("shop.db.models", &["from ..base import x\nfrom .fields import Field\n", "import stock.unit\n"]),
    ("shop.db.fields", &["from . import models\n"]),
    ("stock", &["", "import json, shop\n"]),
    ("stock.unit", &["import stock.other\n", "EXTENSION /x/unit.so"]),
    ("json", &[""]),
    ("simplejson", &[""]),
];

fn name(text: &str) -> ModuleName {
    ModuleName::parse(text).expect("a name")
}

fn first_versions() -> World {
    World::new(&SOURCES.iter().map(|(name, versions)| (*name, versions[0])).collect::<Vec<_>>())
}

/// What the world is asked at once, and what is sent after that.
fn one_round(responder: &mut Responder, world: &mut World) -> (usize, Vec<Answer>) {
    let mut wanted = Vec::new();
    while let Some(output) = responder.poll_output() {
        match output {
            Output::Find(name) => wanted.push(name),
            Output::Send { .. } => panic!("it was not asked whether all is as it was"),
        }
    }
    let count = wanted.len();
    for name in wanted {
        let found = world.find(&name);
        responder.handle_found(name, found);
    }
    let mut sent = Vec::new();
    while let Some(Output::Send { answer, .. }) = responder.poll_output() {
        sent.push(answer);
    }
    (count, sent)
}

#[test]
fn the_next_link_needs_one_look_at_what_the_first_one_went_by() {
    let (mut world, mut responder) = (first_versions().keeping(), Responder::new(Policy::default()));
    let (first, second) =
        (world.ask(&mut responder, 1, "shop"), world.ask(&mut responder, 1, "shop.db.models"));
    for link in 2..5 {
        for old in [&first, &second] {
            responder.handle_request(ContextId(link), old.name.clone());
            let (looks, sent) = one_round(&mut responder, &mut world);
            assert!(looks >= old.modules.len());
            assert_eq!(sent, std::slice::from_ref(old));
        }
    }
    // Several at once share the look.
    (5..9).for_each(|link| responder.handle_request(ContextId(link), name("shop")));
    let (_, sent) = one_round(&mut responder, &mut world);
    assert_eq!(sent, vec![first; 4]);
}

#[test]
fn a_module_that_changed_is_sent_as_it_is() {
    let (mut world, mut responder) = (first_versions().keeping(), Responder::new(Policy::default()));
    let first = world.ask(&mut responder, 1, "shop");
    assert_eq!(modules(&first), ["shop", "shop.base", "stock", "stock.unit"]);
    world.change("shop.base", Some("import simplejson\n"));
    assert_eq!(modules(&world.ask(&mut responder, 2, "shop")), ["shop", "shop.base", "simplejson", "stock"]);
    // What was missing appears.
    world.change("stock.other", Some(""));
    world.change("shop.base", Some("import stock.unit\n"));
    let found = world.ask(&mut responder, 3, "shop");
    assert_eq!(modules(&found), ["shop", "shop.base", "stock", "stock.unit", "stock.other"]);
}

/// Any numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn one_that_remembers_answers_as_one_that_cannot() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        // In the second world nothing is ever the same: no memory holds.
        let mut worlds = [first_versions().keeping(), first_versions()];
        let mut responders = [Responder::new(Policy::default()), Responder::new(Policy::default())];
        for step in 0..60 {
            match dice.below(8) {
                0 => {
                    let (name, versions) = SOURCES[dice.below(SOURCES.len())];
                    let source = versions.get(dice.below(versions.len() + 1)).copied();
                    worlds.iter_mut().for_each(|world| world.change(name, source));
                }
                1 => {
                    let link = ContextId(1 + dice.below(4) as u32);
                    let dialect = [Dialect::Bundles, Dialect::Standard][dice.below(2)];
                    for responder in &mut responders {
                        responder.handle_link_down(link);
                        responder.handle_link_up(link, dialect);
                    }
                }
                _ => {
                    // Who asks twice at once may be told the first or the second time.
                    for link in (1..5).map(ContextId).filter(|_| dice.below(2) == 0).collect::<Vec<_>>() {
                        let (name, _) = SOURCES[dice.below(SOURCES.len())];
                        let asked = ModuleName::parse(name).expect("a name");
                        responders.iter_mut().for_each(|r| r.handle_request(link, asked.clone()));
                    }
                }
            }
            let [ours, plain] = std::array::from_fn(|at| {
                let mut sent = worlds[at].run(&mut responders[at]);
                sent.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
                sent
            });
            assert_eq!(ours, plain, "seed {seed}, step {step}");
        }
    }
}
