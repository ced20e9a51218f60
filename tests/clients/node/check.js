// The driver mysql2 against a running server: `execute` prepares on the server and sends every number in floating point.
//
//     node check.js HOST PORT USER PASSWORD
//
// The exit status is 0 if every step passed; otherwise the output names the step.
'use strict';

const assert = require('node:assert/strict');
const mysql = require('mysql2/promise');

const [host, port, user, password] = process.argv.slice(2);
let failures = 0;

async function step(name, run) {
  try {
    await run();
    console.log(`ok     mysql2: ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED mysql2: ${name}: ${error.stack}`);
  }
}

async function main() {
  const options = { host, port: Number(port), user, password, supportBigNumbers: true, timezone: 'Z' };
  const connection = await mysql.createConnection(options);
  const one = async (sql, values) => Object.values((await connection.execute(sql, values))[0][0]);

  await step('a value of each type, prepared', async () => {
    const at = new Date('2024-02-29T01:02:03.004Z');
    const row = await one('SELECT ? AS f, ? AS s, ? AS n, ? AS b, ? AS t, CAST(? AS BIGINT) AS i', [
      -0.5, "it's; -- \\", null, Buffer.from([0xff, 0]), at, 7,
    ]);
    assert.deepEqual(row, [-0.5, "it's; -- \\", null, Buffer.from([0xff, 0]), at, 7]);
  });
  await step('LIMIT with a number', async () => {
    const [rows] = await connection.execute('SELECT value FROM generate_series(1, 9) LIMIT ?', [3]);
    assert.equal(rows.length, 3);
  });
  await step('a statement that is executed often', async () => {
    for (let n = 1; n <= 50; n += 1) {
      assert.deepEqual(await one('SELECT CAST(? AS BIGINT) * 2 AS twice', [n]), [2 * n]);
    }
    connection.unprepare('SELECT CAST(? AS BIGINT) * 2 AS twice');
  });
  await step('every type of column', async () => {
    const row = await one(
      "SELECT CAST(1 AS TINYINT) a, CAST(-2 AS SMALLINT) b, CAST(3 AS INT) c, CAST(1.5 AS FLOAT) d, " +
        "CAST('-1.50' AS DECIMAL(9,2)) e, CAST('2024-02-29' AS DATE) f, 'grüße' g, true h",
      [],
    );
    assert.deepEqual(row, [1, -2, 3, 1.5, '-1.50', new Date('2024-02-29T00:00:00Z'), 'grüße', 1]);
  });
  await step('an error on preparing', () =>
    assert.rejects(connection.execute('SELECT * FROM nothing WHERE a = ?', [1]), { errno: 1146 }));
  await step('another user on the same connection', async () => {
    await connection.query("DROP USER IF EXISTS client_check_node");
    await connection.query("CREATE USER client_check_node IDENTIFIED BY 'first'");
    await connection.changeUser({ user: 'client_check_node', password: 'first' });
    assert.match((await one('SELECT CURRENT_USER()', []))[0], /^client_check_node@/);
    await connection.query("ALTER USER CURRENT_USER() IDENTIFIED BY 'second'");
    await connection.changeUser({ user: 'client_check_node', password: 'second' });
    await connection.changeUser({ user, password });
    await connection.query('DROP USER client_check_node');
  });
  await step('a wrong password ends the connection', async () => {
    const other = await mysql.createConnection(options);
    other.on('error', () => {});
    await assert.rejects(other.changeUser({ user, password: `${password}wrong` }), { errno: 1045 });
    other.destroy();
  });
  await step('several statements in one text', async () => {
    const several = await mysql.createConnection({ ...options, multipleStatements: true });
    const [answers] = await several.query("SELECT 1 AS a; SELECT 'a;b' AS b; SET @x = 3; SELECT @x AS c");
    assert.deepEqual(JSON.parse(JSON.stringify([answers[0], answers[1], answers[3]])), [[{ a: 1 }], [{ b: 'a;b' }], [{ c: 3 }]]);
    await assert.rejects(several.query('SELECT 1; SELEC 2; SELECT 3'), { errno: 1064 });
    await several.end();
  });
  await connection.end();
}

main()
  .catch((error) => {
    console.error(error);
    failures += 1;
  })
  .finally(() => process.exit(failures > 0 ? 1 : 0));
