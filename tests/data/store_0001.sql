BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE configuration (
	study_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	label TEXT NOT NULL, 
	level TEXT NOT NULL, 
	variant TEXT NOT NULL, 
	threads INTEGER NOT NULL, 
	p50_us FLOAT, 
	ci_low_us FLOAT, 
	ci_high_us FLOAT, 
	ratio FLOAT, 
	verdict TEXT, 
	error_kind TEXT, 
	record TEXT NOT NULL, 
	PRIMARY KEY (study_id, id), 
	FOREIGN KEY(study_id) REFERENCES study (id) ON DELETE CASCADE
);
CREATE TABLE decoded (
	trace_digest TEXT NOT NULL, 
	events_digest TEXT NOT NULL, 
	PRIMARY KEY (trace_digest)
);
CREATE TABLE model (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	info TEXT NOT NULL, 
	files TEXT NOT NULL, 
	reference TEXT, 
	added_at TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE reference (
	digest TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	PRIMARY KEY (digest, owner)
);
INSERT INTO "reference" VALUES('4e08e6bbaf153778480893757f08cd458131477a3a05be1661e47e8205699f18','trace:unrphhowca');
CREATE TABLE report (
	"key" TEXT NOT NULL, 
	document TEXT NOT NULL, 
	made_at TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE study (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	model_id TEXT NOT NULL, 
	model_name TEXT NOT NULL, 
	title TEXT NOT NULL, 
	status TEXT NOT NULL, 
	spec TEXT NOT NULL, 
	result TEXT, 
	error TEXT, 
	notices TEXT DEFAULT '[]' NOT NULL, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	cancel_requested INTEGER DEFAULT '0' NOT NULL, 
	lease_owner TEXT, 
	lease_until FLOAT, 
	phase TEXT DEFAULT '' NOT NULL, 
	progress TEXT, 
	created_at TEXT NOT NULL, 
	started_at TEXT, 
	finished_at TEXT, 
	machine_id TEXT DEFAULT '' NOT NULL, 
	configuration_count INTEGER NOT NULL, 
	best_label TEXT, 
	best_p50_us FLOAT, 
	UNIQUE (id)
);
CREATE TABLE trace (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	events_digest TEXT NOT NULL, 
	source_bytes INTEGER NOT NULL, 
	added_at TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "trace" VALUES('unrphhowca','cpu_control_flow.json','4e08e6bbaf153778480893757f08cd458131477a3a05be1661e47e8205699f18',22075,'2026-11-20T21:36:06.947+00:00');
CREATE INDEX study_status ON study (status, number);
CREATE INDEX study_model ON study (model_id);
CREATE INDEX reference_owner ON reference (owner);
DELETE FROM "sqlite_sequence";
COMMIT;
