//! Rows of jobs, of their files, and of their executions.

use sqlx::{FromRow, Sqlite, SqliteConnection, Transaction};

use super::database::Database;
use crate::clock::Timestamp;

/// A job as it is stored; see the migration for what the columns mean.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) organization_id: i64,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) document: String,
    pub(crate) release_id: Option<i64>,
    pub(crate) automatic: i64,
    pub(crate) stream: Option<String>,
    pub(crate) timeout_minutes: Option<i64>,
    pub(crate) retries_failed: i64,
    pub(crate) retries_timed_out: i64,
    pub(crate) created_at: i64,
    pub(crate) created_by: Option<i64>,
    pub(crate) canceled_at: Option<i64>,
    pub(crate) cancel_forced: i64,
    pub(crate) cancel_reason: Option<String>,
    pub(crate) cancel_comment: Option<String>,
}

/// A file of a job.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct JobFileRow {
    pub(crate) id: i64,
    pub(crate) path: String,
    pub(crate) size: i64,
    pub(crate) sha256: String,
}

/// One execution of a job by a thing.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ExecutionRow {
    pub(crate) job: i64,
    pub(crate) thing: i64,
    pub(crate) number: i64,
    pub(crate) status: String,
    pub(crate) details: Option<String>,
    pub(crate) version: i64,
    pub(crate) queued_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) updated_at: i64,
    pub(crate) deadline: Option<i64>,
    pub(crate) failures: i64,
    pub(crate) timeouts: i64,
}

/// An execution with the names of what it is of.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct NamedExecutionRow {
    pub(crate) job_name: String,
    pub(crate) thing_name: String,
    #[sqlx(flatten)]
    pub(crate) execution: ExecutionRow,
}

/// How many executions of a job have a status.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct CountRow {
    pub(crate) job: i64,
    pub(crate) status: String,
    pub(crate) executions: i64,
}

/// What became of a job that was to be stored.
#[derive(Debug)]
pub(crate) enum Inserted {
    /// It is stored, under this id.
    Job(i64),
    /// The organization has a job of that name.
    NameTaken,
    /// The thing of this id has as many pending executions as may be.
    ThingIsFull(i64),
}

pub(super) const INSERT_JOB: &str = "INSERT INTO jobs (organization_id, name, description, document, release_id, automatic, stream, \
     timeout_minutes, retries_failed, retries_timed_out, created_at, created_by, cancel_forced) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0) \
     ON CONFLICT (organization_id, name) DO NOTHING RETURNING id";
pub(super) const INSERT_FILE: &str =
    "INSERT INTO job_files (job, id, path, size, sha256) VALUES ($1, $2, $3, $4, $5)";
pub(super) const JOB: &str = "SELECT id, organization_id, name, description, document, release_id, automatic, stream, timeout_minutes, \
     retries_failed, retries_timed_out, created_at, created_by, canceled_at, cancel_forced, cancel_reason, cancel_comment FROM jobs WHERE id = $1 AND deleted_at IS NULL";
pub(super) const JOB_BY_NAME: &str = "SELECT id, organization_id, name, description, document, release_id, automatic, stream, \
     timeout_minutes, retries_failed, retries_timed_out, created_at, created_by, canceled_at, cancel_forced, cancel_reason, \
     cancel_comment FROM jobs WHERE organization_id = $1 AND name = $2 AND deleted_at IS NULL";
pub(super) const JOBS: &str = "SELECT id, organization_id, name, description, document, release_id, automatic, stream, timeout_minutes, \
     retries_failed, retries_timed_out, created_at, created_by, canceled_at, cancel_forced, cancel_reason, cancel_comment FROM jobs WHERE organization_id = $1 AND id < $2 AND deleted_at IS NULL ORDER BY id DESC LIMIT $3";
pub(super) const JOB_FILES: &str =
    "SELECT id, path, size, sha256 FROM job_files WHERE job = $1 ORDER BY id";
pub(super) const CANCEL_JOB: &str = "UPDATE jobs SET canceled_at = COALESCE(canceled_at, $1), \
     cancel_forced = CASE WHEN $2 = 1 THEN 1 ELSE cancel_forced END, cancel_reason = COALESCE($3, cancel_reason), \
     cancel_comment = COALESCE($4, cancel_comment) WHERE id = $5";
pub(super) const MARK_DELETED: &str = "UPDATE jobs SET deleted_at = $1 WHERE id = $2";
pub(super) const DELETED_JOBS: &str = "SELECT id FROM jobs WHERE deleted_at IS NOT NULL";
pub(super) const DELETE_EXECUTIONS: &str = "DELETE FROM job_executions WHERE job = $1";
pub(super) const DELETE_FILES: &str = "DELETE FROM job_files WHERE job = $1";
pub(super) const DELETE_JOB: &str = "DELETE FROM jobs WHERE id = $1";
pub(super) const SAVE_EXECUTION: &str = "INSERT INTO job_executions (job, thing, number, status, details, version, queued_at, started_at, \
     updated_at, deadline, failures, timeouts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
     ON CONFLICT (job, thing, number) DO UPDATE SET status = excluded.status, details = excluded.details, \
     version = excluded.version, started_at = excluded.started_at, updated_at = excluded.updated_at, deadline = excluded.deadline";
pub(super) const PENDING_OF_THING: &str = "SELECT e.job, e.thing, e.number, e.status, e.details, e.version, e.queued_at, e.started_at, \
     e.updated_at, e.deadline, e.failures, e.timeouts FROM job_executions e JOIN jobs j ON j.id = e.job \
     WHERE e.thing = $1 AND e.status IN ('QUEUED', 'IN_PROGRESS') AND j.deleted_at IS NULL";
pub(super) const COUNT_PENDING: &str =
    "SELECT COUNT(*) FROM job_executions WHERE thing = $1 AND status IN ('QUEUED', 'IN_PROGRESS')";
pub(super) const EXECUTION: &str = "SELECT e.job, e.thing, e.number, e.status, e.details, e.version, e.queued_at, e.started_at, \
     e.updated_at, e.deadline, e.failures, e.timeouts FROM job_executions e JOIN jobs j ON j.id = e.job \
     WHERE e.thing = $1 AND j.name = $2 AND j.deleted_at IS NULL AND e.number = COALESCE($3, e.number) \
     ORDER BY e.number DESC LIMIT 1";
pub(super) const THINGS_PENDING: &str = "SELECT DISTINCT thing FROM job_executions WHERE job = $1 AND status IN ('QUEUED', 'IN_PROGRESS')";
pub(super) const COUNT_IN_PROGRESS: &str =
    "SELECT COUNT(*) FROM job_executions WHERE job = $1 AND status = 'IN_PROGRESS'";
pub(super) const THINGS_DUE: &str = "SELECT DISTINCT thing FROM job_executions WHERE deadline IS NOT NULL AND deadline <= $1 LIMIT $2";
pub(super) const EXECUTIONS_OF_JOB: &str = "SELECT j.name AS job_name, t.name AS thing_name, e.job, e.thing, e.number, e.status, e.details, \
     e.version, e.queued_at, e.started_at, e.updated_at, e.deadline, e.failures, e.timeouts \
     FROM job_executions e JOIN jobs j ON j.id = e.job JOIN things t ON t.id = e.thing \
     WHERE e.job = $1 AND t.name > $2 \
     AND e.number = (SELECT MAX(x.number) FROM job_executions x WHERE x.job = e.job AND x.thing = e.thing) \
     ORDER BY t.name LIMIT $3";
pub(super) const EXECUTIONS_OF_THING: &str = "SELECT j.name AS job_name, t.name AS thing_name, e.job, e.thing, e.number, e.status, e.details, \
     e.version, e.queued_at, e.started_at, e.updated_at, e.deadline, e.failures, e.timeouts \
     FROM job_executions e JOIN jobs j ON j.id = e.job JOIN things t ON t.id = e.thing \
     WHERE e.thing = $1 AND j.deleted_at IS NULL ORDER BY e.updated_at DESC, e.job DESC, e.number DESC LIMIT $2";
pub(super) const COUNTS_OF_JOB: &str = "SELECT e.job, e.status, COUNT(*) AS executions FROM job_executions e WHERE e.job = $1 \
     AND e.number = (SELECT MAX(x.number) FROM job_executions x WHERE x.job = e.job AND x.thing = e.thing) \
     GROUP BY e.job, e.status";
pub(super) const COUNTS: &str = "SELECT e.job, e.status, COUNT(*) AS executions FROM job_executions e JOIN jobs j ON j.id = e.job \
     WHERE j.organization_id = $1 AND j.id >= $2 AND j.id <= $3 \
     AND e.number = (SELECT MAX(x.number) FROM job_executions x WHERE x.job = e.job AND x.thing = e.thing) \
     GROUP BY e.job, e.status";
pub(super) const INSERT_UPLOAD: &str = "INSERT INTO files (organization_id, sha256, size, uploaded_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (organization_id, sha256) DO NOTHING";
pub(super) const UPLOAD_SIZE: &str =
    "SELECT size FROM files WHERE organization_id = $1 AND sha256 = $2";

impl Database {
    /// Stores a job with its files, and an execution of it for each of these things: all of that, or nothing. No thing gets
    /// more than `most_pending` executions that have not ended.
    pub(crate) async fn insert_job(
        &self,
        job: &JobRow,
        files: &[JobFileRow],
        things: &[i64],
        most_pending: i64,
    ) -> Result<Inserted, sqlx::Error> {
        let mut transaction = self.write.begin().await?;
        let id: Option<i64> = sqlx::query_scalar(INSERT_JOB)
            .bind(job.organization_id)
            .bind(&job.name)
            .bind(&job.description)
            .bind(&job.document)
            .bind(job.release_id)
            .bind(job.automatic)
            .bind(&job.stream)
            .bind(job.timeout_minutes)
            .bind(job.retries_failed)
            .bind(job.retries_timed_out)
            .bind(job.created_at)
            .bind(job.created_by)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(id) = id else {
            return Ok(Inserted::NameTaken);
        };
        for file in files {
            sqlx::query(INSERT_FILE)
                .bind(id)
                .bind(file.id)
                .bind(&file.path)
                .bind(file.size)
                .bind(&file.sha256)
                .execute(&mut *transaction)
                .await?;
        }
        for &thing in things {
            let pending: i64 = sqlx::query_scalar(COUNT_PENDING)
                .bind(thing)
                .fetch_one(&mut *transaction)
                .await?;
            if pending >= most_pending {
                return Ok(Inserted::ThingIsFull(thing));
            }
            save_execution(
                &mut transaction,
                &first_execution(id, thing, job.created_at),
            )
            .await?;
        }
        transaction.commit().await?;
        Ok(Inserted::Job(id))
    }

    pub(crate) async fn job(&self, id: i64) -> Result<Option<JobRow>, sqlx::Error> {
        sqlx::query_as(JOB)
            .bind(id)
            .fetch_optional(&self.read)
            .await
    }

    pub(crate) async fn job_by_name(
        &self,
        organization: i64,
        name: &str,
    ) -> Result<Option<JobRow>, sqlx::Error> {
        sqlx::query_as(JOB_BY_NAME)
            .bind(organization)
            .bind(name)
            .fetch_optional(&self.read)
            .await
    }

    /// Jobs of an organization older than that of the id `before`, newest first.
    pub(crate) async fn jobs(
        &self,
        organization: i64,
        before: i64,
        limit: i64,
    ) -> Result<Vec<JobRow>, sqlx::Error> {
        sqlx::query_as(JOBS)
            .bind(organization)
            .bind(before)
            .bind(limit)
            .fetch_all(&self.read)
            .await
    }

    pub(crate) async fn job_files(&self, job: i64) -> Result<Vec<JobFileRow>, sqlx::Error> {
        sqlx::query_as(JOB_FILES)
            .bind(job)
            .fetch_all(&self.read)
            .await
    }

    /// Says that a job is canceled; what becomes of its executions is for who has them in hand.
    pub(crate) async fn cancel_job(
        &self,
        id: i64,
        forced: bool,
        reason: Option<&str>,
        comment: Option<&str>,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(CANCEL_JOB)
            .bind(now.0)
            .bind(i64::from(forced))
            .bind(reason)
            .bind(comment)
            .bind(id)
            .execute(&self.write)
            .await
            .map(drop)
    }

    /// From now on the job is nowhere to be seen.
    pub(crate) async fn mark_job_deleted(
        &self,
        id: i64,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(MARK_DELETED)
            .bind(now.0)
            .bind(id)
            .execute(&self.write)
            .await
            .map(drop)
    }

    /// Jobs that are marked as deleted and still there: the server was killed in between.
    pub(crate) async fn deleted_jobs(&self) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query_scalar(DELETED_JOBS).fetch_all(&self.read).await
    }

    /// Removes a job with all that belongs to it.
    pub(crate) async fn remove_job(&self, id: i64) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin().await?;
        for statement in [DELETE_EXECUTIONS, DELETE_FILES, DELETE_JOB] {
            sqlx::query(statement)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Stores executions as they are now: all of them, or none.
    pub(crate) async fn save_executions<'a>(
        &self,
        executions: impl Iterator<Item = &'a ExecutionRow>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin().await?;
        for execution in executions {
            save_execution(&mut transaction, execution).await?;
        }
        transaction.commit().await
    }

    /// What a thing still has to do.
    pub(crate) async fn pending_executions(
        &self,
        thing: i64,
    ) -> Result<Vec<ExecutionRow>, sqlx::Error> {
        sqlx::query_as(PENDING_OF_THING)
            .bind(thing)
            .fetch_all(&self.read)
            .await
    }

    /// The execution of that job with that number; without one, the last.
    pub(crate) async fn execution(
        &self,
        thing: i64,
        job: &str,
        number: Option<i64>,
    ) -> Result<Option<ExecutionRow>, sqlx::Error> {
        sqlx::query_as(EXECUTION)
            .bind(thing)
            .bind(job)
            .bind(number)
            .fetch_optional(&self.read)
            .await
    }

    /// The things with an execution of this job that has not ended.
    pub(crate) async fn things_with_pending(&self, job: i64) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query_scalar(THINGS_PENDING)
            .bind(job)
            .fetch_all(&self.read)
            .await
    }

    /// How many executions of this job are in progress.
    pub(crate) async fn executions_in_progress(&self, job: i64) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(COUNT_IN_PROGRESS)
            .bind(job)
            .fetch_one(&self.read)
            .await
    }

    /// Things with an execution that has timed out, some of them if there are many.
    pub(crate) async fn things_due(
        &self,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query_scalar(THINGS_DUE)
            .bind(now.0)
            .bind(limit)
            .fetch_all(&self.read)
            .await
    }

    /// The last execution of a job by each thing, in the order of the things' names, from behind `after` on.
    pub(crate) async fn executions_of_job(
        &self,
        job: i64,
        after: &str,
        limit: i64,
    ) -> Result<Vec<NamedExecutionRow>, sqlx::Error> {
        sqlx::query_as(EXECUTIONS_OF_JOB)
            .bind(job)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await
    }

    /// The executions of a thing that changed last, newest first.
    pub(crate) async fn executions_of_thing(
        &self,
        thing: i64,
        limit: i64,
    ) -> Result<Vec<NamedExecutionRow>, sqlx::Error> {
        sqlx::query_as(EXECUTIONS_OF_THING)
            .bind(thing)
            .bind(limit)
            .fetch_all(&self.read)
            .await
    }

    /// How many things are in which status with a job: with the last execution of it by each of them.
    pub(crate) async fn execution_counts(&self, job: i64) -> Result<Vec<CountRow>, sqlx::Error> {
        sqlx::query_as(COUNTS_OF_JOB)
            .bind(job)
            .fetch_all(&self.read)
            .await
    }

    /// The same for the jobs of an organization between two ids.
    pub(crate) async fn execution_counts_between(
        &self,
        organization: i64,
        first: i64,
        last: i64,
    ) -> Result<Vec<CountRow>, sqlx::Error> {
        sqlx::query_as(COUNTS)
            .bind(organization)
            .bind(first)
            .bind(last)
            .fetch_all(&self.read)
            .await
    }

    /// Takes down that an organization has uploaded a file.
    pub(crate) async fn insert_upload(
        &self,
        organization: i64,
        sha256: &str,
        size: i64,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(INSERT_UPLOAD)
            .bind(organization)
            .bind(sha256)
            .bind(size)
            .bind(now.0)
            .execute(&self.write)
            .await
            .map(drop)
    }

    /// The size of a file that the organization has uploaded.
    pub(crate) async fn upload_size(
        &self,
        organization: i64,
        sha256: &str,
    ) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar(UPLOAD_SIZE)
            .bind(organization)
            .bind(sha256)
            .fetch_optional(&self.read)
            .await
    }
}

fn first_execution(job: i64, thing: i64, now: i64) -> ExecutionRow {
    ExecutionRow {
        job,
        thing,
        number: 1,
        status: "QUEUED".to_owned(),
        details: None,
        version: 1,
        queued_at: now,
        started_at: None,
        updated_at: now,
        deadline: None,
        failures: 0,
        timeouts: 0,
    }
}

async fn save_execution(
    transaction: &mut Transaction<'_, Sqlite>,
    e: &ExecutionRow,
) -> Result<(), sqlx::Error> {
    let connection: &mut SqliteConnection = transaction;
    sqlx::query(SAVE_EXECUTION)
        .bind(e.job)
        .bind(e.thing)
        .bind(e.number)
        .bind(&e.status)
        .bind(&e.details)
        .bind(e.version)
        .bind(e.queued_at)
        .bind(e.started_at)
        .bind(e.updated_at)
        .bind(e.deadline)
        .bind(e.failures)
        .bind(e.timeouts)
        .execute(connection)
        .await
        .map(drop)
}
