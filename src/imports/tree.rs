//! Imports as a tree: each below the module during whose import it was imported.

use std::cmp::Reverse;

use super::Module;

/// The order and shape of a list of imports.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    modules: &'a [Module],
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl<'a> Tree<'a> {
    /// The largest first, on every level.
    pub(super) fn new(modules: &'a [Module]) -> Self {
        let mut children = vec![Vec::new(); modules.len()];
        let mut roots = Vec::new();
        for (at, module) in modules.iter().enumerate() {
            // An importer comes before what it imports.
            match module.importer.filter(|importer| *importer < at) {
                Some(importer) => children[importer].push(at),
                None => roots.push(at),
            }
        }
        let size = |at: &usize| Reverse(modules[*at].bytes);
        roots.sort_by_key(size);
        children
            .iter_mut()
            .for_each(|of_one| of_one.sort_by_key(size));
        Self {
            modules,
            children,
            roots,
        }
    }

    pub(super) fn roots(&self) -> &[usize] {
        &self.roots
    }

    pub(super) fn children(&self, at: usize) -> &[usize] {
        &self.children[at]
    }

    pub(super) fn module(&self, at: usize) -> &'a Module {
        &self.modules[at]
    }

    /// The bytes that a module added by itself, without what it imported.
    pub(super) fn own(&self, at: usize) -> i64 {
        let of_children = self.children[at].iter();
        let imported: i64 = of_children.map(|child| self.module(*child).bytes).sum();
        self.module(at).bytes - imported
    }

    /// Whether a module of a package was used, though perhaps none of the package's own functions.
    pub(super) fn is_used_below(&self, at: usize) -> bool {
        let package = &self.module(at).name;
        let is_below = |name: &str| {
            let rest = name.strip_prefix(package.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let mut modules = self.modules.iter();
        modules.any(|module| module.is_used == Some(true) && is_below(&module.name))
    }

    /// How many modules there are of a package, itself among them.
    pub(super) fn modules_of(&self, package: &str) -> usize {
        let names = self.modules.iter().filter(|module| module.is_there);
        names
            .filter(|module| module.name.split('.').next() == Some(package))
            .count()
    }

    /// How many modules are below and including one.
    pub(super) fn count(&self, at: usize) -> usize {
        1 + self.children[at]
            .iter()
            .map(|child| self.count(*child))
            .sum::<usize>()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `(name, importer, bytes, is_used)`.
    pub(in crate::imports) fn modules(
        all: &[(&str, Option<usize>, i64, Option<bool>)],
    ) -> Vec<Module> {
        let module = |(name, importer, bytes, is_used): &(&str, _, i64, _)| Module {
            name: (*name).to_owned(),
            importer: *importer,
            is_late: false,
            bytes: *bytes,
            seconds: 0.001,
            file: None,
            is_there: true,
            is_used: *is_used,
        };
        all.iter().map(module).collect()
    }

    #[test]
    fn a_package_of_which_a_module_is_used_is_used() {
        let modules = modules(&[
            ("pandas", None, 100, Some(false)),
            ("pandas.core", Some(0), 20, Some(true)),
            ("pandas.plotting", Some(0), 20, Some(false)),
            ("pandas_other", None, 20, Some(false)),
        ]);
        let tree = Tree::new(&modules);
        assert_eq!(
            [0, 1, 2, 3].map(|at| tree.is_used_below(at)),
            [true, false, false, false]
        );
        assert_eq!(
            (tree.modules_of("pandas"), tree.modules_of("pandas_other")),
            (3, 1)
        );
    }

    #[test]
    fn own_is_what_is_left_without_the_children() {
        let modules = modules(&[
            ("app", None, 100, None),
            ("small", Some(0), 20, None),
            ("large", Some(0), 70, None),
            ("inner", Some(2), 60, None),
        ]);
        let tree = Tree::new(&modules);
        assert_eq!(tree.roots(), [0]);
        assert_eq!(tree.children(0), [2, 1]);
        assert_eq!([0, 1, 2, 3].map(|at| tree.own(at)), [10, 20, 10, 60]);
        assert_eq!((tree.count(0), tree.count(2)), (4, 2));
    }
}
