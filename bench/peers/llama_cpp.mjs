// llama.cpp on files of make_gguf.py, by node-llama-cpp's builds of it, on the processor alone. One JSON line a measurement,
// as the other peers here:
//
//     npm install node-llama-cpp
//     node llama_cpp.mjs --threads 2 mid-f32.gguf mid-q4.gguf
import {parseArgs} from "node:util";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";
import path from "node:path";

// Modules are looked for from where it is started, so that nothing is installed into the repository.
const from = createRequire(path.join(process.cwd(), "package.json"));
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(from.resolve("node-llama-cpp")));

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    threads: {type: "string", default: "2"},
    runs: {type: "string", default: "3"},
    prompt: {type: "string", default: "512"},
    tokens: {type: "string", default: "16"},
  },
});
const [threads, runs, prompt, tokens] = [values.threads, values.runs, values.prompt, values.tokens].map(Number);
if (positionals.length === 0) {
  console.error("usage: node llama_cpp.mjs [--threads N] [--runs N] [--prompt N] [--tokens N] FILE.gguf...");
  process.exit(2);
}

const llama = await getLlama({gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error});

function report(name, file, times, count) {
  const seconds = [...times].sort((a, b) => a - b)[times.length >> 1];
  console.log(JSON.stringify({name, dtype: path.basename(file), threads, seconds, runs: times.length, tokens_per_second: count / seconds}));
}

async function timed(work) {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

for (const file of positionals) {
  const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
  const context = await model.createContext({contextSize: prompt + tokens + 16, batchSize: prompt, threads});
  const sequence = context.getSequence();
  const ids = Array.from({length: prompt}, (_, i) => 300 + ((i * 7919) % 31000));
  const prefill = [], decode = [];
  for (let run = -1; run < runs; run++) {
    await sequence.clearHistory();
    const read = await timed(() => sequence.evaluateWithoutGeneratingNewTokens(ids));
    await sequence.clearHistory();
    // Ids of our own, so that a made-up end of text ends nothing.
    let made = 0;
    const written = await timed(async () => {
      for (; made < tokens; made++) {
        for await (const id of sequence.evaluate([ids[made]], {temperature: 0})) {
          break;
        }
      }
    });
    if (run >= 0) {
      prefill.push(read);
      decode.push(written);
    }
  }
  report("llama.cpp/prefill", file, prefill, prompt);
  report("llama.cpp/decode", file, decode, tokens);
  await context.dispose();
  await model.dispose();
}
process.exit(0);
