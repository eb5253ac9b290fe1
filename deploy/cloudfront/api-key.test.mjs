// `node --test deploy/cloudfront/`: api-key.js under Node, in a context that has only what CloudFront's runtime 2.0 has; and
// the same events under njs, the engine nearest to CloudFront's, where it is installed (`apt-get install njs`).

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import vm from 'node:vm';

const FILE = new URL('api-key.js', import.meta.url);
const SOURCE = readFileSync(FILE, 'utf8');
const IMPORT = "import cf from 'cloudfront';";
// The example's secret and a key of it: `examples/quickstart/keys.csv` has the fingerprint.
const SECRET = readFileSync(new URL('../../examples/quickstart/secret.txt', import.meta.url), 'utf8').trim();
const KEY = 'ACMEexampleKEYold000000001';
const PRINT = 'ef12adddf1eab0acd9fae309e892db3d';
const OTHER = 'GLOBEXexampleKEY0000000003';

/// The keyed hash as meterlake makes it (`key_ref` in src/decode/privacy.rs).
const print = (key) => crypto.createHmac('sha256', SECRET).update(key).digest('hex').slice(0, 32);

/// An event as CloudFront gives it to a viewer-request function of a standard distribution.
function event(headers = {}, querystring = {}) {
    return {
        version: '1.0',
        context: {
            distributionDomainName: 'd111111abcdef8.cloudfront.net',
            distributionId: 'EDFDVBD6EXAMPLE',
            eventType: 'viewer-request',
            requestId: '4TyzHTaYWb1GX1qTfsHhEqV6HUDd_BzoBZnwfnvQc_1oF26ClkoUSEQ==',
        },
        viewer: { ip: '198.51.100.11' },
        request: {
            method: 'GET',
            uri: '/v1/items',
            querystring,
            headers: { host: { value: 'api.example.com' }, accept: { value: '*/*', multiValue: undefined }, ...headers },
            cookies: { id: { value: 'CookieIdValue', attributes: 'Expires=Wed, 05 Apr 2026 07:28:00 GMT' } },
        },
    };
}

const key = (...values) => ({
    'x-api-key':
        values.length === 1 ? { value: values[0] } : { value: values[0], multiValue: values.map((value) => ({ value })) },
});

/// name, event, parameter for the origin (undefined: none), what is logged, and the secret (null: none is stored).
const CASES = [
    ['one key', event(key(KEY)), KEY, `v1;k=${PRINT}`],
    ['no key', event(), undefined, 'v1'],
    ['an empty key', event(key('')), undefined, 'v1'],
    ['white space around', event(key(` \t${KEY}  `)), KEY, `v1;k=${PRINT}`],
    ['white space alone', event(key('   ')), undefined, 'v1'],
    ['twice the same', event(key(KEY, KEY)), KEY, `v1;k=${PRINT}`],
    ['an empty one and a key', event(key('', KEY)), KEY, `v1;k=${PRINT}`],
    ['two that differ', event(key(KEY, OTHER)), undefined, `v1;k=${PRINT};k=${print(OTHER)}`],
    ['a hundred that differ', event(key(...Array.from({ length: 100 }, (_, n) => `key-${n}`))), undefined,
        `v1;k=${print('key-0')};k=${print('key-1')}`],
    ['a key with what separates tokens', event(key('a;k=b')), 'a%3Bk%3Db', `v1;k=${print('a;k=b')}`],
    ['a key with what separates parameters', event(key('a&b=c#d%e')), 'a%26b%3Dc%23d%25e', `v1;k=${print('a&b=c#d%e')}`],
    ['a space inside', event(key('two words')), undefined, `v1;k=${print('two words')}`],
    ['a line feed inside', event(key('a\nv1;k=b')), undefined, `v1;k=${print('a\nv1;k=b')}`],
    ['the longest handed on', event(key('k'.repeat(256))), 'k'.repeat(256), `v1;k=${print('k'.repeat(256))}`],
    ['longer', event(key('k'.repeat(257))), undefined, `v1;k=${print('k'.repeat(257))}`],
    ['much longer', event(key('k'.repeat(10_000))), undefined, `v1;k=${print('k'.repeat(10_000))}`],
    ['no secret stored', event(key(KEY)), KEY, 'v1;k=no-secret', null],
    ['an empty secret', event(key(KEY)), KEY, 'v1;k=no-secret', ''],
    ['no secret needed without a key', event(), undefined, 'v1', null],
    ['a Lambda@Edge-like name in a value', event({ 'x-other': { value: `x-api-key:${OTHER}` } }), undefined, 'v1'],
];

/// Ways to spell the parameter that some origin might read as `cf_api_key`.
const SPELLINGS = [
    'cf_api_key', 'CF_API_KEY', 'Cf_Api_Key', 'cf%5Fapi%5fkey', '%63f_api_key', '%43%46_API_KEY', 'cf%255Fapi_key',
    '%2563f_api_key', '%252563f_api_key', ' cf_api_key', 'cf_api_key+', '%20cf_api_key', 'cf_api_key%2520',
];
/// Names that only look like it.
const OTHERS = ['cf_api_keys', 'xcf_api_key', 'cf_api', 'api_key', 'cf_api_key[]', 'cf%E4api_key', '%', '%4', 'cf%zzapi_key', ''];

/// Runs the function as CloudFront would: `request`, all that was logged, and what went to the console.
async function run(given, secret = SECRET) {
    const logged = [];
    const said = [];
    const store = {
        get: async (name) => {
            if (name !== 'key_secret' || secret === null) {
                throw new Error('KeyNotFound');
            }
            return secret;
        },
    };
    const context = vm.createContext({
        cf: { kvs: () => store, logCustomData: (text) => logged.push(text) },
        require: (name) => {
            assert.ok(['crypto', 'querystring'].includes(name), `the runtime has no module ${name}`);
            return crypto;
        },
        console: { log: (text) => said.push(text) },
    }, { codeGeneration: { strings: false, wasm: false } });
    const handler = vm.runInContext(`'use strict'; ${SOURCE.replace(IMPORT, '')}; handler`, context);
    const request = await handler(structuredClone(given));
    return { request, logged, said };
}

test('each kind of key is handed on and logged as it should be', async (t) => {
    for (const [name, given, parameter, token, secret] of CASES) {
        await t.test(name, async () => {
            const { request, logged, said } = await run(given, secret);
            assert.deepEqual(logged, [token]);
            assert.equal(request.querystring.cf_api_key?.value, parameter && (parameter.includes('%') ? parameter : encodeURIComponent(parameter)));
            const raw = given.request.headers['x-api-key']?.value;
            assert.ok(!raw?.trim() || !`${logged} ${said}`.includes(raw.trim()), 'the key itself is logged');
            // Everything else is as it was.
            delete request.querystring.cf_api_key;
            assert.deepEqual(JSON.parse(JSON.stringify(request)), JSON.parse(JSON.stringify(given.request)));
        });
    }
});

test('the example key has the fingerprint of the example', () => assert.equal(print(KEY), PRINT));

test('a viewer cannot send the parameter', async () => {
    for (const spelling of SPELLINGS) {
        const value = { value: OTHER, multiValue: [{ value: OTHER }, { value: KEY }] };
        const bare = await run(event({}, { [spelling]: value, page: { value: '2' } }));
        assert.deepEqual(Object.keys(bare.request.querystring), ['page'], spelling);
        assert.deepEqual(bare.logged, ['v1'], spelling);
        const keyed = await run(event(key(KEY), { [spelling]: value, page: { value: '2' } }));
        assert.deepEqual({ ...keyed.request.querystring.cf_api_key }, { value: KEY }, spelling);
        assert.deepEqual(Object.keys(keyed.request.querystring).sort(), ['cf_api_key', 'page'], spelling);
    }
});

test('other parameters stay', async () => {
    const all = Object.fromEntries(OTHERS.map((name) => [name, { value: 'x' }]));
    const { request } = await run(event({}, all));
    assert.deepEqual(Object.keys(request.querystring).sort(), [...OTHERS].sort());
});

test('the function fits its limits and names nothing that the runtime lacks', () => {
    assert.ok(Buffer.byteLength(SOURCE) < 10_240, 'CloudFront takes 10 KB');
    assert.ok(SOURCE.includes(IMPORT));
    const code = SOURCE.replace(/^\s*\/\/.*$/gm, '');
    for (const absent of ['...', ' of ', '??', '?.', 'class ', 'eval', 'new Function', 'setTimeout', 'process', 'fetch', 'Map(', 'Set(', 'Promise']) {
        assert.ok(!code.includes(absent), `the runtime's list has no \`${absent}\``);
    }
    const body = code.slice(code.indexOf('async function handler'));
    assert.ok(!body.includes('=>') && !body.slice('async function'.length).includes('function'), 'closures in an async function');
    assert.ok(!/[(,+]\s*await/.test(body), 'await within an argument or expression');
});

/// Parameters by name: one that is taken out and put in again has its old place under njs.
function inOrder(request) {
    const sorted = {};
    Object.keys(request.querystring).sort().forEach((name) => { sorted[name] = request.querystring[name]; });
    request.querystring = sorted;
    return request;
}

test('njs gives the same', { skip: spawnSync('njs', ['-v']).error && 'njs is not installed: apt-get install njs' }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'api-key-'));
    try {
        const spoofed = SPELLINGS.map((name) => event(key(KEY), { [name]: { value: OTHER }, page: { value: '2' } }));
        const events = [...CASES.map(([, given, , , secret]) => [given, secret === undefined ? SECRET : secret]),
            ...spoofed.map((given) => [given, SECRET])];
        writeFileSync(join(folder, 'run.js'), `
            let secret; let logged;
            const cf = {
                kvs: () => ({ get: (name) => secret === null ? Promise.reject(new Error(name)) : Promise.resolve(secret) }),
                logCustomData: (text) => { logged.push(text); },
            };
            ${SOURCE.replace(IMPORT, '').replace(/console\.log\(.*\);/, '')}
            const events = ${JSON.stringify(events)};
            ${inOrder}
            async function all() {
                for (let i = 0; i < events.length; i++) {
                    secret = events[i][1]; logged = [];
                    const request = await handler(events[i][0]);
                    // A digest each: this njs cuts what it prints after 2 048 bytes.
                    console.log(crypto.createHash('sha256').update(JSON.stringify([inOrder(request), logged])).digest('hex'));
                }
            }
            all();`);
        const ran = spawnSync('njs', [join(folder, 'run.js')], { encoding: 'utf8' });
        assert.equal(ran.status, 0, ran.stdout + ran.stderr);
        const results = ran.stdout.trim().split('\n');
        assert.equal(results.length, events.length);
        for (const [place, [given, secret]] of events.entries()) {
            const { request, logged } = await run(given, secret);
            const digest = crypto.createHash('sha256').update(JSON.stringify([inOrder(request), logged])).digest('hex');
            assert.equal(results[place], digest, JSON.stringify(given.request));
        }
    } finally {
        rmSync(folder, { recursive: true });
    }
});
