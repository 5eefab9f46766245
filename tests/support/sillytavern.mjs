// Runs SillyTavern's own published code on presets: what it writes for a chat.
//
// Its modules for instruct mode, story strings and macros are loaded as they are; whatever else they
// import is replaced by stand-ins, and the loop over a chat is that of `Generate` in its script.js,
// which cannot be loaded without the page.
//
// node --experimental-vm-modules sillytavern.mjs PUBLIC CHEVROTAIN HANDLEBARS, then a request
// {instruct, context, chats: [{system, messages: [{who, name, text}], user, char, reply}]} on
// standard input; the answer is a list of texts.

import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [root, chevrotainFile, handlebarsFile] = process.argv.slice(2);
const Handlebars = createRequire(import.meta.url)(handlebarsFile);
const chevrotain = await import(pathToFileURL(chevrotainFile).href);

// Anything at all: called, indexed, iterated or printed, it is itself or nothing.
const anything = new Proxy(function () {}, {
    get(target, key) {
        if (key === Symbol.toPrimitive) return () => '';
        if (key === Symbol.iterator) return function* () {};
        if (key === 'then') return undefined;
        if (key === 'prototype') return target.prototype;
        return anything;
    },
    apply: () => anything,
    construct: () => anything,
    has: () => true,
});

const chat = { name1: 'User', name2: 'Char' };
let macros = null;

function substituteParams(content, options = {}, char) {
    if (!content) return '';
    if (!options || typeof options !== 'object') options = { name1Override: options, name2Override: char };
    const { MacroEngine, MacroEnvBuilder } = macros;
    const env = MacroEnvBuilder.buildFromRawEnv({
        content,
        name1Override: options.name1Override ?? chat.name1,
        name2Override: options.name2Override ?? chat.name2,
        original: options.original,
        groupOverride: options.groupOverride,
        replaceCharacterCard: true,
        dynamicMacros: {},
        postProcessFn: (x) => x,
    });
    return MacroEngine.evaluate(content, env);
}

function hash(text) {
    let found = 0;
    for (const character of String(text)) found = (found * 31 + character.codePointAt(0)) | 0;
    return found;
}

const standIns = {
    'script.js': {
        substituteParams,
        extension_prompt_types: { NONE: -1, IN_PROMPT: 0, IN_CHAT: 1, BEFORE_PROMPT: 2 },
        name1: chat.name1,
        name2: chat.name2,
        characters: [],
        this_chid: undefined,
        chat: [],
        chat_metadata: {},
        extension_prompts: {},
        getCharacterCardFieldsLazy: () => ({}),
        getGeneratingModel: () => '',
    },
    'lib.js': { Handlebars, chevrotain, Fuse: anything, moment: anything, seedrandom: anything, droll: anything },
    'scripts/group-chats.js': { selected_group: null, groups: [] },
    'scripts/utils.js': {
        getStringHash: hash,
        escapeRegex: (text) => text.replace(/[/\-\\^$*+?.()|[\]{}]/g, '\\$&'),
        isTrueBoolean: (text) => ['on', 'true', '1'].includes(String(text).trim().toLowerCase()),
        isFalseBoolean: (text) => ['off', 'false', '0'].includes(String(text).trim().toLowerCase()),
        onlyUnique: (value, index, array) => array.indexOf(value) === index,
    },
    'scripts/util/AccountStorage.js': { accountStorage: { getItem: () => null, setItem() {} } },
    'scripts/constants.js': { inject_ids: anything },
};

const context = vm.createContext({
    console: { ...console, debug() {}, warn() {}, log() {} },
    structuredClone, setTimeout, clearTimeout, URL, performance,
    jQuery: anything, $: anything, toastr: anything, document: anything, navigator: anything,
    window: anything, localStorage: anything, CSS: anything, MutationObserver: anything, getComputedStyle: anything, SillyTavern: anything,
});

const real = (name) =>
    name.startsWith('scripts/macros/') ||
    ['scripts/instruct-mode.js', 'scripts/power-user.js', 'scripts/macros.js'].includes(name);

const modules = new Map();
const wanted = new Map();

function resolve(specifier, from) {
    return path.posix.normalize(
        specifier.startsWith('/') ? specifier.slice(1) : path.posix.join(path.posix.dirname(from), specifier),
    );
}

// The names that a source imports, by module: stand-ins have exactly those.
function note(source, name) {
    const statements = source.matchAll(/(?:import|export)\s+([^;'"]*?)\s*from\s*['"]([^'"]+)['"]/g);
    for (const [, clause, specifier] of statements) {
        const names = /\{([\s\S]*)\}/.exec(clause)?.[1] ?? '';
        const target = resolve(specifier, name);
        const known = wanted.get(target) ?? wanted.set(target, new Set()).get(target);
        for (const item of names.replace(/\/\/.*$/gm, '').split(',')) {
            const imported = item.trim().split(/\s+as\s+/)[0];
            if (imported) known.add(imported);
        }
    }
}

function sources(name, seen = new Set()) {
    if (seen.has(name)) return;
    seen.add(name);
    const source = fs.readFileSync(path.join(root, name), 'utf8');
    note(source, name);
    for (const [, specifier] of source.matchAll(/from\s*['"]([^'"]+)['"]/g)) {
        const target = resolve(specifier, name);
        if (real(target)) sources(target, seen);
    }
}

function load(name) {
    if (modules.has(name)) return modules.get(name);
    let module;
    if (real(name)) {
        const source = fs.readFileSync(path.join(root, name), 'utf8');
        module = new vm.SourceTextModule(source, { identifier: name, context });
    } else {
        const given = standIns[name] ?? {};
        const names = [...new Set([...(wanted.get(name) ?? []), ...Object.keys(given)])];
        module = new vm.SyntheticModule(
            names,
            function () {
                for (const key of names) this.setExport(key, key in given ? given[key] : anything);
            },
            { identifier: name, context },
        );
    }
    modules.set(name, module);
    return module;
}

for (const entry of ['scripts/instruct-mode.js', 'scripts/power-user.js', 'scripts/macros.js', 'scripts/macros/macro-system.js']) {
    sources(entry);
}
const link = (specifier, from) => load(resolve(specifier, from.identifier));
const entries = [];
for (const entry of ['scripts/power-user.js', 'scripts/instruct-mode.js', 'scripts/macros.js', 'scripts/macros/macro-system.js']) {
    const module = load(entry);
    if (module.status === 'unlinked') await module.link(link);
    if (module.status === 'linked') await module.evaluate();
    entries.push(module.namespace);
}
const [powerUser, instructMode, , macroSystem] = entries;
macros = { MacroEngine: macroSystem.macros.engine, MacroEnvBuilder: macroSystem.macros.envBuilder };
macroSystem.initRegisterMacros?.();

// What Generate does with a chat: the story string, then the messages, the first, the user's last
// and the reply with sequences of their own, and a message of the user's where none comes first.
function write({ system, messages, user, char, reply }, instruct) {
    const story = powerUser.renderStoryString({ system, user, char });
    const head = instructMode.formatInstructModeStoryString(story);
    const lastUser = messages.findLastIndex((message) => message.who === 'user');
    const format = (message, force) => instructMode.formatInstructModeChat(
        message.name, message.text, message.who === 'user', message.who === 'narrator', '', user, char, force,
    );
    const { FIRST, LAST } = instructMode.force_output_sequence;
    const written = messages.map((message, number) => {
        if (number === lastUser) return format(message, LAST);
        return format(message, number === 0 ? FIRST : false);
    });
    if (instruct.user_alignment_message && messages[0]?.who !== 'user') {
        const text = substituteParams(instruct.user_alignment_message);
        written.unshift(format({ who: 'user', name: user, text }, FIRST));
    }
    const prompt = instructMode.formatInstructModePrompt(reply, false, '', user, char, false, false);
    return (head + written.join('') + prompt).replace(/\r/gm, '');
}

const request = JSON.parse(fs.readFileSync(0, 'utf8'));
const answers = request.map(({ instruct, context, chats }) => {
    powerUser.power_user.instruct = { ...instruct, enabled: true };
    powerUser.power_user.context = { ...context };
    return {
        texts: chats.map((one) => write(one, instruct)),
        stops: instructMode.getInstructStoppingSequences(),
    };
});
process.stdout.write(JSON.stringify(answers));
